{{/* The startup budget. */}}

{{/*
Seconds that a container may take from its start until /health answers. The default is 60 minutes to read the weights,
and twice that where each node fetches them over the network at its own speed (690 GB at 1 Gb/s take 92 minutes).
Usage: include "vllm-multinode.startupSeconds" . | int
Returns: the number.
*/}}
{{- define "vllm-multinode.startupSeconds" -}}
{{- $derived := ternary 7200 3600 (eq (include "vllm-multinode.weightsAreRemote" .) "true") -}}
{{- .Values.startup.budgetSeconds | default $derived | int -}}
{{- end }}
