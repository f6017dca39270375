{{/* Rules on the KV cache in host memory. */}}

{{/*
Problems with kvCache: layouts in which vLLM's offloading is wrong or does not start, and settings that replace it. Sources:
vLLM 0.32 and 0.33, distributed/kv_transfer/kv_connector/v1/offloading/config.py, v1/kv_offload/cpu/spec.py, and
config/vllm.py (_post_init_kv_transfer_config, _verify_kv_transfer_compat).
Usage: include "vllm-multinode.rules.kvCache" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.kvCache" -}}
{{- $problems := list -}}
{{- $values := .Values -}}
{{- $size := $values.kvCache.offloadingSizePerGpu -}}
{{- if $size -}}
{{- $problem := dict "key" "kvCache.offloadingSizePerGpu" "got" $size -}}
{{- $layout := include "vllm-multinode.layout" . | fromJson -}}
{{- $onOneNode := "Use one node per group, or parallelism.data with each replica on one node." -}}
{{- if lt (include "vllm-multinode.bytes" $size | float64) 1073741824.0 -}}
{{- $problems = append $problems (merge (dict
      "why" "is less than 1Gi, too little for a block of many models, so that vLLM would offload nothing"
      "fix" "Use at least 1Gi, or null to turn offloading off.") $problem) -}}
{{- end -}}
{{- if not $values.group.gpuResource -}}
{{- $problems = append $problems (merge (dict
      "why" "is refused by vLLM's CPU build, but group.gpuResource is null"
      "fix" "Remove it.") $problem) -}}
{{- else if gt (int $layout.pipeline) 1 -}}
{{- $problems = append $problems (merge (dict
      "why" (printf "can corrupt responses with %d pipeline stages: vLLM numbers blocks in host memory by the layers of the first stage, and other stages have room for fewer (vllm#50653)" (int $layout.pipeline))
      "fix" $onOneNode) $problem) -}}
{{- else if and (gt (int $values.group.nodes) 1) (eq (int $layout.data) 1) -}}
{{- $problems = append $problems (merge (dict
      "why" "is not reliable with tensor parallelism across nodes: vLLM lays out the host memory of each node for the GPUs of all nodes, and groups that do not start are reported (vllm#54415)"
      "fix" $onOneNode) $problem) -}}
{{- end -}}
{{- $version := include "vllm-multinode.vllmVersion" . -}}
{{- if and $version (semverCompare "<0.32-0" $version) -}}
{{- $problems = append $problems (merge (dict
      "why" (printf "is tested with vLLM 0.32 and newer, but the image has %s: older versions take up to twice as much memory (vllm#53042)" $version)
      "fix" "Use a newer image.") $problem) -}}
{{- end -}}
{{- $isPinned := include "vllm-multinode.memoryIsPinned" $values.engine.args -}}
{{- range $name, $value := $values.engine.args -}}
{{- $transfers := include "vllm-multinode.setsFlag" (dict "key" $name "value" $value "flag" "kv-transfer-config" "shortest" "kv-t") -}}
{{- if or $transfers (and (eq $name "kv-offloading-backend") (not (has $value (list nil "native")))) -}}
{{- $problems = append $problems (dict "key" (printf "engine.args.%s" $name) "got" $value
      "why" "can't be combined with kvCache.offloadingSizePerGpu, as vLLM uses only one of the two connectors"
      "fix" "Remove one of the two.") -}}
{{- end -}}
{{- end -}}
{{- $variables := list -}}
{{- range $name, $value := $values.engine.env -}}
{{- $variables = append $variables (dict "key" (printf "engine.env.%s" $name) "name" $name "value" $value) -}}
{{- end -}}
{{- range $values.extraEnv -}}
{{- $variables = append $variables (dict "key" "extraEnv" "name" .name "value" (.value | default "")) -}}
{{- end -}}
{{- range $variables -}}
{{- $problem := dict "key" .key "got" .value -}}
{{- if and (eq .name "VLLM_USE_SIMPLE_KV_OFFLOAD") (not (has (toString .value) (list "" "0"))) -}}
{{- $problems = append $problems (merge (dict
      "why" "replaces the connector of kvCache.offloadingSizePerGpu by one whose memory the chart does not count"
      "fix" "Remove it.") $problem) -}}
{{- else if and (not $isPinned) (eq .name "PYTORCH_CUDA_ALLOC_CONF") (contains "expandable_segments:True" (toString .value)) -}}
{{- $problems = append $problems (merge (dict
      "why" "lets PyTorch move the KV cache, so that vLLM refuses to start with kvCache.offloadingSizePerGpu"
      "fix" "Remove expandable_segments:True, or set enable-cumem-allocator in engine.args.") $problem) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
