{{/* Rules on metrics, alerts and traces. A message is: key: value why. Fix. */}}

{{/*
Rules on what monitoring can see.
Usage: include "vllm-multinode.rules.monitoring" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.monitoring" -}}
{{- $problems := list -}}
{{- $scrape := .Values.monitoring.podMonitor -}}
{{- $rules := .Values.monitoring.rules -}}
{{- $flags := .Values.engine.args -}}
{{- if and $rules.enabled (not $scrape.enabled) -}}
{{- $problems = append $problems "monitoring.rules.enabled: true alerts on series that only the PodMonitor makes, and monitoring.podMonitor.enabled is false. Set both." -}}
{{- end -}}
{{- if and $scrape.enabled (get $flags "disable-log-stats") -}}
{{- $problems = append $problems "engine.args.disable-log-stats: true also takes the engine's series from /metrics, and monitoring.podMonitor.enabled is true. Leave it out." -}}
{{- end -}}
{{- if lt (int $rules.stalledSeconds) (int (mul 2 $scrape.intervalSeconds)) -}}
{{- $problems = append $problems (printf "monitoring.rules.stalledSeconds: %d holds fewer than two scrapes of %d s, and no rate can be had from one. Use at least %d, or a smaller monitoring.podMonitor.intervalSeconds." (int $rules.stalledSeconds) (int $scrape.intervalSeconds) (mul 2 $scrape.intervalSeconds)) -}}
{{- end -}}
{{- with .Values.tracing -}}
{{- if and .detail (not .endpoint) -}}
{{- $problems = append $problems (printf "tracing.detail: %s is without use while tracing.endpoint is unset. Set the collector's URL, or leave detail out." (toJson .detail)) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
