{{/* Resources of vLLM's container. */}}

{{/*
The size of /dev/shm. NCCL and vLLM's message queues need a few GiB for each rank; guides use 15Gi to 32Gi for 8 GPUs.
Usage: include "vllm-multinode.sharedMemory" .
Returns: a quantity.
*/}}
{{- define "vllm-multinode.sharedMemory" -}}
{{- .Values.sharedMemory.size | default (printf "%dGi" (max 8 (mul 4 .Values.group.gpusPerNode))) -}}
{{- end }}

{{/*
Requests, limits, and claims. The chart derives them from the number of GPUs; the user's values override them.
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
requests:
  {{- mergeOverwrite $requests $limits $values.resources.requests | toYaml | nindent 2 }}
{{- with mergeOverwrite $limits $values.resources.limits }}
limits:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .fabric.computeDomain }}
claims:
  - name: channel
{{- end }}
{{- end }}
