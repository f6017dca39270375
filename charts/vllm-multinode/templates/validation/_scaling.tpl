{{/* Rules on the number of groups and on the way to them. A message is: key: value why. Fix. */}}

{{/*
Rules on autoscaling.
Usage: include "vllm-multinode.rules.autoscaling" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.autoscaling" -}}
{{- $problems := list -}}
{{- with .Values.autoscaling -}}
{{- $keda := eq (.type | default "") "keda" -}}
{{- if lt (int .maxReplicas) (int .minReplicas) -}}
{{- $problems = append $problems (printf "autoscaling.maxReplicas: %d is less than minReplicas, which is %d. Use at least %d." (int .maxReplicas) (int .minReplicas) (int .minReplicas)) -}}
{{- end -}}
{{- if and (eq (.type | default "") "hpa") (eq (int .minReplicas) 0) -}}
{{- $problems = append $problems "autoscaling.minReplicas: 0 is less than a HorizontalPodAutoscaler can keep. Use 1, or type keda." -}}
{{- end -}}
{{- if and $keda (eq (int .minReplicas) 0) (not .metrics) -}}
{{- $problems = append $problems "autoscaling.minReplicas: 0 is for ever with vLLM's own metrics, which nobody gives when no group runs. Use 1, or give triggers in autoscaling.metrics that come from elsewhere, such as the Gateway." -}}
{{- end -}}
{{- if and $keda (not .metrics) (not .prometheus.url) -}}
{{- $problems = append $problems "autoscaling.prometheus.url: null leaves KEDA without the metrics. Give Prometheus' address, such as http://prometheus.monitoring:9090, or triggers in autoscaling.metrics." -}}
{{- end -}}
{{- if and .prometheus.url (not $keda) -}}
{{- $problems = append $problems (printf "autoscaling.prometheus.url: %q is for type keda, and type is %s. Leave it out, or set type keda." .prometheus.url (.type | default "null")) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}

{{/*
Rules on routing.
Usage: include "vllm-multinode.rules.routing" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.routing" -}}
{{- $problems := list -}}
{{- with .Values.routing.httpRoute -}}
{{- if and .hostnames (not .parentRefs) -}}
{{- $problems = append $problems (printf "routing.httpRoute.hostnames: %s belong to a route, and without parentRefs there is none. Name the Gateway in routing.httpRoute.parentRefs." (toJson .hostnames)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.routing.inferencePool.endpointPicker .Values.service.sessionAffinitySeconds -}}
{{- $problems = append $problems (printf "service.sessionAffinitySeconds: %d has no effect on requests that the endpoint picker spreads (routing.inferencePool.endpointPicker). Leave one of the two out." (int .Values.service.sessionAffinitySeconds)) -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
