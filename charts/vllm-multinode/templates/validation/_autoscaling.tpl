{{/* Rules on autoscaling. */}}

{{/*
Problems with autoscaling.
Usage: include "vllm-multinode.rules.autoscaling" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.autoscaling" -}}
{{- $problems := list -}}
{{- with .Values.autoscaling -}}
{{- $keda := eq (.type | default "") "keda" -}}
{{- if lt (int .maxReplicas) (int .minReplicas) -}}
{{- $problems = append $problems (dict "key" "autoscaling.maxReplicas" "got" .maxReplicas
      "why" (printf "is less than autoscaling.minReplicas, which is %d" (int .minReplicas))
      "fix" (printf "Use at least %d." (int .minReplicas))) -}}
{{- end -}}
{{- if and (eq (.type | default "") "hpa") (eq (int .minReplicas) 0) -}}
{{- $problems = append $problems (dict "key" "autoscaling.minReplicas" "got" .minReplicas
      "why" "can't be 0 with autoscaling.type hpa, as a HorizontalPodAutoscaler keeps at least one replica"
      "fix" "Use 1, or set autoscaling.type to keda.") -}}
{{- end -}}
{{- if and (eq (.type | default "") "hpa") (include "vllm-multinode.servers" $ | fromJson).everyPod (not .metrics) -}}
{{- $problems = append $problems (dict "key" "autoscaling.type" "got" "hpa"
      "why" (printf "sees only the requests of leaders, but with parallelism.dataLoadBalancer %s each pod counts its own" $.Values.parallelism.dataLoadBalancer)
      "fix" "Use keda, or set autoscaling.metrics.") -}}
{{- end -}}
{{- if and $keda (eq (int .minReplicas) 0) (not .metrics) -}}
{{- $problems = append $problems (dict "key" "autoscaling.minReplicas" "got" .minReplicas
      "why" "can't be 0 with vLLM's own metrics: without a running group there are none, so KEDA would never start one again"
      "fix" "Use 1, or set autoscaling.metrics to triggers from another source, such as the Gateway.") -}}
{{- end -}}
{{- if and $keda (not .metrics) (not .prometheus.url) -}}
{{- $problems = append $problems (dict "key" "autoscaling.prometheus.url" "got" .prometheus.url
      "why" "is required with autoscaling.type keda, unless autoscaling.metrics is set"
      "fix" "Set the address of Prometheus, such as http://prometheus.monitoring:9090.") -}}
{{- end -}}
{{- if and .prometheus.url (not $keda) -}}
{{- $problems = append $problems (dict "key" "autoscaling.prometheus.url" "got" .prometheus.url
      "why" (printf "is used only with autoscaling.type keda, but the type is %s" (.type | default "null"))
      "fix" "Remove it, or set autoscaling.type to keda.") -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
