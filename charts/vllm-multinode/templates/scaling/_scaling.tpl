{{/* How groups are added and removed. */}}

{{/*
Behaviour of the HorizontalPodAutoscaler, also of the one that KEDA makes. One group at a time, as each takes all of its
nodes; and one goes only when it was not needed for half of the time that it has to start, at most an hour (Kubernetes'
limit).
Usage: include "vllm-multinode.scalingBehavior" . | nindent 4
Returns: YAML.
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
vLLM's metrics that are looked at, each with what a group may have of it.
Usage: include "vllm-multinode.scalingTargets" . | fromJson
Returns: JSON, a map from the metric's name to the number.
*/}}
{{- define "vllm-multinode.scalingTargets" -}}
{{- $targets := dict "vllm:num_requests_waiting" .Values.autoscaling.waitingRequests -}}
{{- with .Values.autoscaling.runningRequests -}}
{{- $_ := set $targets "vllm:num_requests_running" . -}}
{{- end -}}
{{- toJson $targets -}}
{{- end }}
