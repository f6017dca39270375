{{/* Rules on the layout. */}}

{{/*
Problems with parallelism: the layout must use all GPUs of a group, and each data-parallel replica must fit on one node.
Usage: include "vllm-multinode.rules.parallelism" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.parallelism" -}}
{{- $problems := list -}}
{{- $group := .Values.group -}}
{{- $sizes := .Values.parallelism -}}
{{- $layout := include "vllm-multinode.layout" . | fromJson -}}
{{- if ne (int $layout.ranks) (int $layout.gpus) -}}
{{- $chosen := ternary "tensor" (ternary "pipeline" "data" (not (empty $sizes.pipeline))) (not (empty $sizes.tensor)) -}}
{{- $product := printf "tensor %d x pipeline %d x data %d" (int $layout.tensor) (int $layout.pipeline) (int $layout.data) -}}
{{- $problems = append $problems (dict "key" (printf "parallelism.%s" $chosen) "got" (int (index $layout $chosen))
      "why" (printf "makes %s = %d ranks, but a group has %d nodes x %d GPUs = %d" $product (int $layout.ranks) (int $group.nodes) (int $group.gpusPerNode) (int $layout.gpus))
      "fix" "Make both products equal, or leave tensor and pipeline unset.") -}}
{{- else if and (gt (int $layout.data) 1) (gt (int $group.nodes) 1) (ne (mod $layout.data $group.nodes) 0) -}}
{{- $problems = append $problems (dict "key" "parallelism.data" "got" $layout.data
      "why" (printf "can't be divided evenly among %d nodes, and a data-parallel replica can't span two of them" (int $group.nodes))
      "fix" (printf "Use a multiple of %d." (int $group.nodes))) -}}
{{- end -}}
{{- with $sizes.decodeContext -}}
{{- if ne (mod $layout.tensor .) 0 -}}
{{- $problems = append $problems (dict "key" "parallelism.decodeContext" "got" .
      "why" (printf "does not divide the tensor parallel size, which is %d" (int $layout.tensor))
      "fix" (printf "Use a divisor of %d." (int $layout.tensor))) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
