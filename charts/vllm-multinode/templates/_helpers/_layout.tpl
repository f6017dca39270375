{{/* The layout of a group: how the model is divided over its GPUs. */}}

{{/*
The parallel sizes of a group. A size that is not set is derived from the group's nodes and GPUs.
Usage: include "vllm-multinode.layout" . | fromJson
Returns: JSON {tensor, pipeline, data, ranks (their product), gpus (of the group), dataLocal (data-parallel ranks per
node)}.
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
