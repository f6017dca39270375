{{/* Resources of vLLM's container. */}}

{{/*
The size of /dev/shm. NCCL and vLLM's message queues need a few GiB for each rank; guides use 15Gi to 32Gi for 8 GPUs. vLLM
keeps what it offloads of the KV cache there as well.
Usage: include "vllm-multinode.sharedMemory" .
Returns: a quantity.
*/}}
{{- define "vllm-multinode.sharedMemory" -}}
{{- $size := .Values.sharedMemory.size | default (printf "%dGi" (max 8 (mul 4 .Values.group.gpusPerNode))) -}}
{{- include "vllm-multinode.plusBytes" (dict "quantity" $size "bytes" (include "vllm-multinode.offloading" . | fromJson).podBytes) -}}
{{- end }}

{{/*
Host memory to which vLLM offloads the KV cache. vLLM counts it for all GPUs of a data-parallel replica (vLLM 0.33,
CacheConfig.kv_offloading_size), and rules make sure that each replica is on one node.
Usage: include "vllm-multinode.offloading" . | fromJson
Returns: JSON {podBytes: of all GPUs of a pod, gibibytes: of a replica}, both 0 without offloading.
*/}}
{{- define "vllm-multinode.offloading" -}}
{{- $layout := include "vllm-multinode.layout" . | fromJson -}}
{{- $bytes := include "vllm-multinode.bytes" (.Values.kvCache.offloadingSizePerGpu | default "0") | float64 -}}
{{- dict "podBytes" (mulf $bytes .Values.group.gpusPerNode) "gibibytes" (divf (mulf $bytes $layout.tensor $layout.pipeline) 1073741824.0) | toJson -}}
{{- end }}

{{/*
Requests, limits, and claims. The chart derives them from the number of GPUs; the user's values override them. What vLLM
offloads of the KV cache comes on top of either.
Usage: include "vllm-multinode.resources" (dict "root" $ "fabric" $fabric) | nindent 2
Returns: YAML, a map.
*/}}
{{- define "vllm-multinode.resources" -}}
{{- $values := .root.Values -}}
{{- $gpus := $values.group.gpusPerNode -}}
{{- $requests := dict "cpu" (mul 4 $gpus) "memory" (printf "%dGi" (add 8 (mul 24 $gpus))) -}}
{{- $limits := dict -}}
{{- with $values.group.gpuResource -}}
{{- $_ := set $limits . (int $gpus) -}}
{{- end -}}
{{- with $values.fabric.resourceName | default .fabric.resource -}}
{{- $_ := set $limits . (int $values.fabric.resourceCount) -}}
{{- end -}}
{{- $limits = merge $limits (.fabric.limits | default dict) -}}
{{- with $values.weights.volume -}}
{{- if and .size (eq .type "emptyDir") -}}
{{- $_ := set $requests "ephemeral-storage" .size -}}
{{- end -}}
{{- end -}}
{{- $requests = mergeOverwrite $requests $limits $values.resources.requests -}}
{{- $limits = mergeOverwrite $limits $values.resources.limits -}}
{{- $offloading := include "vllm-multinode.offloading" .root | fromJson -}}
{{- range $resources := list $requests $limits -}}
{{- if and $offloading.podBytes (hasKey $resources "memory") -}}
{{- $_ := set $resources "memory" (include "vllm-multinode.plusBytes" (dict "quantity" $resources.memory "bytes" $offloading.podBytes)) -}}
{{- end -}}
{{- end -}}
requests:
  {{- $requests | toYaml | nindent 2 }}
{{- with $limits }}
limits:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .fabric.computeDomain }}
claims:
  - name: channel
{{- end }}
{{- end }}
