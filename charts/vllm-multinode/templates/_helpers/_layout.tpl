{{/* How ranks are spread, and the numbers that follow from it. */}}

{{/*
Ranks by kind of parallelism, with what is unset derived.
Usage: include "vllm-multinode.layout" . | fromJson
Returns: JSON {tensor, pipeline, data, ranks: all that the layout asks for, gpus: all that the group has,
dataLocal: data-parallel ranks of a node}.
*/}}
{{- define "vllm-multinode.layout" -}}
{{- $group := .Values.group -}}
{{- $data := int .Values.parallelism.data -}}
{{- $gpus := mul $group.nodes $group.gpusPerNode -}}
{{- $pipeline := int (.Values.parallelism.pipeline | default (ternary $group.nodes 1 (eq $data 1))) -}}
{{- $tensor := int (.Values.parallelism.tensor | default (max 1 (div $gpus (mul $data $pipeline)))) -}}
{{- dict "tensor" $tensor "pipeline" $pipeline "data" $data "gpus" $gpus "ranks" (mul $tensor $pipeline $data)
    "dataLocal" (div $data $group.nodes) | toJson -}}
{{- end }}

{{/*
Seconds from a container's start until /health must answer: 60 minutes to read weights, twice that for nodes that have
to download them, each at its own speed (690 GB at 1 Gb/s alone take 92 minutes).
Usage: include "vllm-multinode.startupSeconds" . | int
Returns: the number.
*/}}
{{- define "vllm-multinode.startupSeconds" -}}
{{- $derived := ternary 7200 3600 (eq (include "vllm-multinode.weightsAreRemote" .) "true") -}}
{{- .Values.startup.budgetSeconds | default $derived | int -}}
{{- end }}

{{/*
Size of /dev/shm. NCCL and vLLM's message queues need a few GiB per rank; guides take 15Gi to 32Gi for 8 GPUs.
Usage: include "vllm-multinode.sharedMemory" .
Returns: a quantity.
*/}}
{{- define "vllm-multinode.sharedMemory" -}}
{{- .Values.sharedMemory.size | default (printf "%dGi" (max 8 (mul 4 .Values.group.gpusPerNode))) -}}
{{- end }}

{{/*
Requests and limits of vLLM's container: derived from the number of GPUs, with the user's on top.
Usage: include "vllm-multinode.resources" . | nindent 2
Returns: YAML.
*/}}
{{- define "vllm-multinode.resources" -}}
{{- $gpus := .Values.group.gpusPerNode -}}
{{- $requests := dict "cpu" (mul 4 $gpus) "memory" (printf "%dGi" (add 8 (mul 24 $gpus))) -}}
{{- $limits := dict -}}
{{- with .Values.group.gpuResource -}}
{{- $_ := set $limits . (int $gpus) -}}
{{- end -}}
{{- $fabric := include "vllm-multinode.fabric" . | fromJson -}}
{{- with .Values.fabric.resourceName | default $fabric.resource -}}
{{- $_ := set $limits . (int $.Values.fabric.resourceCount) -}}
{{- end -}}
{{- $limits = merge $limits ($fabric.limits | default dict) -}}
{{- with .Values.weights.volume -}}
{{- if and .size (eq .type "emptyDir") -}}
{{- $_ := set $requests "ephemeral-storage" .size -}}
{{- end -}}
{{- end -}}
requests:
  {{- mergeOverwrite $requests $limits .Values.resources.requests | toYaml | nindent 2 }}
{{- with mergeOverwrite $limits .Values.resources.limits }}
limits:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $fabric.computeDomain }}
claims:
  - name: channel
{{- end }}
{{- end }}
