{{/* Rules on metrics, alerts, and traces. */}}

{{/*
Problems with monitoring and tracing.
Usage: include "vllm-multinode.rules.monitoring" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.monitoring" -}}
{{- $problems := list -}}
{{- $scrape := .Values.monitoring.podMonitor -}}
{{- $rules := .Values.monitoring.rules -}}
{{- $noStats := get .Values.engine.args "disable-log-stats" -}}
{{- if and $rules.enabled (not $scrape.enabled) -}}
{{- $problems = append $problems (dict "key" "monitoring.rules.enabled" "got" true
      "why" "needs series that only the PodMonitor collects, but monitoring.podMonitor.enabled is false"
      "fix" "Enable both.") -}}
{{- end -}}
{{- if and $scrape.enabled $noStats -}}
{{- $problems = append $problems (dict "key" "engine.args.disable-log-stats" "got" $noStats
      "why" "also removes the engine's series from /metrics, but monitoring.podMonitor.enabled is true"
      "fix" "Remove it.") -}}
{{- end -}}
{{- $least := int (mul 2 $scrape.intervalSeconds) -}}
{{- if lt (int $rules.stalledSeconds) $least -}}
{{- $problems = append $problems (dict "key" "monitoring.rules.stalledSeconds" "got" $rules.stalledSeconds
      "why" (printf "spans fewer than two scrapes, which are %d seconds apart, so no rate can be computed" (int $scrape.intervalSeconds))
      "fix" (printf "Use at least %d, or lower monitoring.podMonitor.intervalSeconds." $least)) -}}
{{- end -}}
{{- with .Values.tracing -}}
{{- if and .detail (not .endpoint) -}}
{{- $problems = append $problems (dict "key" "tracing.detail" "got" .detail
      "why" "has no effect while tracing.endpoint is not set"
      "fix" "Set tracing.endpoint to the collector's URL, or remove it.") -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
