{{/* The arguments of `vllm serve`, the same for both roles. */}}

{{/*
Words for flags given as a map: true is --flag, false --no-flag, null nothing, a list several words, a map JSON.
Usage: include "vllm-multinode.flags" $map | fromJsonArray
Returns: JSON, a list of strings, by the flags' names.
*/}}
{{- define "vllm-multinode.flags" -}}
{{- $words := list -}}
{{- range $name, $value := . -}}
{{- $flag := printf "--%s" $name -}}
{{- if kindIs "bool" $value -}}
{{- $words = append $words (ternary $flag (printf "--no-%s" $name) $value) -}}
{{- else if kindIs "slice" $value -}}
{{- $repeated := eq $name "middleware" -}}{{- /* the one flag of vLLM that takes a single word each time */ -}}
{{- range $index, $item := $value -}}
{{- $words = concat $words (ternary (list $flag) list (or $repeated (eq $index 0))) -}}
{{- $words = append $words (ternary $item (toJson $item) (kindIs "string" $item)) -}}
{{- end -}}
{{- else if kindIs "string" $value -}}
{{- $words = concat $words (list $flag $value) -}}
{{- else if not (kindIs "invalid" $value) -}}
{{- $words = concat $words (list $flag (toJson $value)) -}}
{{- end -}}
{{- end -}}
{{- toJson $words -}}
{{- end }}

{{/*
The whole list: the model, then the flags. What the chart derives and a user may want otherwise is in $derived, which
engine.args overrides; the rule on engine.args keeps the other flags to the values that stand for them.
Usage: include "vllm-multinode.arguments" . | nindent 4
Returns: YAML, a list of strings.
*/}}
{{- define "vllm-multinode.arguments" -}}
{{- $values := .Values -}}
{{- $layout := include "vllm-multinode.layout" . | fromJson -}}
{{- $model := include "vllm-multinode.weightsModel" . -}}
{{- $elsewhere := ne $values.weights.source "huggingFace" -}}{{- /* the model's argument is not its name */ -}}
{{- $served := $values.model.servedName | default (ternary $values.model.name nil $elsewhere) -}}
{{- $flags := dict
      "served-model-name" $served
      "revision" (ternary nil $values.model.revision (or $values.weights.download.enabled (has $values.weights.source (list "image" "objectStore"))))
      "max-model-len" $values.model.maxLength
      "dtype" $values.model.dtype
      "quantization" $values.model.quantization
      "trust-remote-code" ($values.model.trustRemoteCode | default nil)
      "port" $values.engine.port
      "tensor-parallel-size" $layout.tensor
      "pipeline-parallel-size" $layout.pipeline
      "data-parallel-size" (ternary $layout.data nil (gt (int $layout.data) 1))
      "enable-expert-parallel" ($values.parallelism.expert | default nil)
      "decode-context-parallel-size" $values.parallelism.decodeContext
      "shutdown-timeout" $values.shutdown.drainSeconds
      "otlp-traces-endpoint" $values.tracing.endpoint
      "collect-detailed-traces" ($values.tracing.detail | default nil)
      "enable-log-requests" ($values.logging.requests | default nil)
      "logging-config" (ternary (dict "formatter" "json") nil (eq $values.logging.format "json"))
      "distributed-executor-backend" (ternary "ray" nil (eq $values.engine.backend "ray")) -}}
{{- /* Ranks meet when they have loaded: on slow or unequal disks later than torch's 600 s; with a download, as late
       as the start-up's budget. It also bounds how long a worker waits for a leader that is gone. */ -}}
{{- $patience := ternary (include "vllm-multinode.startupSeconds" . | int) 1800 (eq (include "vllm-multinode.weightsAreRemote" .) "true") -}}
{{- $derived := ternary (dict) (dict "distributed-timeout-seconds" $patience) (eq (int $values.group.nodes) 1) -}}
{{- if eq $values.weights.source "objectStore" -}}
{{- $_ := set $derived "load-format" "runai_streamer" -}}
{{- end -}}
{{- $own := include "vllm-multinode.flags" $flags | fromJsonArray -}}
{{- $users := include "vllm-multinode.flags" (mergeOverwrite $derived $values.engine.args) | fromJsonArray -}}
{{- concat (list $model) $own $users | toYaml -}}
{{- end }}
