{{/* Autoscaling: how groups are added and removed. */}}

{{/*
Behavior of the HorizontalPodAutoscaler, which is also the one that KEDA creates. It adds and removes one group at a
time, as each needs all of its nodes. It removes a group only after it was not needed for half of the startup budget,
but at most an hour, which is Kubernetes' limit.
Usage: include "vllm-multinode.scalingBehavior" . | nindent 4
Returns: YAML, a map.
*/}}
{{- define "vllm-multinode.scalingBehavior" -}}
{{- $policies := list (dict "type" "Pods" "value" 1 "periodSeconds" 300) -}}
{{- $wait := min 3600 (div (include "vllm-multinode.startupSeconds" . | int) 2) -}}
{{- $derived := dict
      "scaleUp" (dict "stabilizationWindowSeconds" 60 "policies" $policies)
      "scaleDown" (dict "stabilizationWindowSeconds" $wait "policies" $policies) -}}
{{- mergeOverwrite $derived .Values.autoscaling.behavior | toYaml -}}
{{- end }}

{{/*
The metrics of vLLM that autoscaling uses, each with its target per group.
Usage: include "vllm-multinode.scalingTargets" . | fromJson
Returns: JSON, a map from metric to target.
*/}}
{{- define "vllm-multinode.scalingTargets" -}}
{{- $targets := dict "vllm:num_requests_waiting" .Values.autoscaling.waitingRequests -}}
{{- with .Values.autoscaling.runningRequests -}}
{{- $_ := set $targets "vllm:num_requests_running" . -}}
{{- end -}}
{{- toJson $targets -}}
{{- end }}
