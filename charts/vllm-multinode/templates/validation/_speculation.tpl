{{/* Rules on speculative decoding. */}}

{{/*
Problems with the model's own drafting layers: vLLM refuses them beside pipeline stages, where drafts must have the interface
SupportsPP (vllm-project/vllm#52069, of a build after 0.26.0). 0.32 and 0.33 accept them (config/speculative.py,
create_draft_parallel_config); what lies between is not known.
Usage: include "vllm-multinode.rules.speculation" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.speculation" -}}
{{- $problems := list -}}
{{- $version := include "vllm-multinode.vllmVersion" . -}}
{{- $layout := include "vllm-multinode.layout" . | fromJson -}}
{{- $engine := .Values.engine -}}
{{- $given := include "vllm-multinode.jsonFlag" (dict "args" $engine.args "flag" "speculative-config" "shortest" "specu") | fromJson -}}
{{- $method := or (index $engine.args "spec-method") (dig "value" "method" "" $given) -}}
{{- $key := ternary "engine.speculativeTokens" (printf "engine.args.%s" ($given.name | default "spec-method")) (not (empty $engine.speculativeTokens)) -}}
{{- $isOwn := or $engine.speculativeTokens (hasSuffix "mtp" (toString $method)) -}}
{{- if and $isOwn $version (gt (int $layout.pipeline) 1) -}}
{{- if semverCompare "<0.27.0-0" (printf "%s.0" $version) -}}
{{- $problems = append $problems (dict "key" $key "got" ($engine.speculativeTokens | default $method)
      "why" (printf "can't be combined with pipeline stages, of which this layout has %d: vLLM %s does not start" (int $layout.pipeline) $version)
      "fix" "Set parallelism.pipeline: 1, or use a newer image.") -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
