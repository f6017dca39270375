{{/* Parts of alerts and recording rules. */}}

{{/*
Matchers for the series of this release. The PodMonitor sets their job to the LeaderWorkerSet's name.
Usage: printf "up{%s}" (include "vllm-multinode.series" .)
Returns: matchers in PromQL.
*/}}
{{- define "vllm-multinode.series" -}}
namespace="{{ .Release.Namespace }}",job="{{ include "vllm-multinode.fullname" . }}"
{{- end }}

{{/*
Labels and annotations of an alert: its severity, its summary, and the page that describes what to do.
Usage: include "vllm-multinode.alert" (dict "root" $ "name" "VllmDown" "severity" "critical" "summary" $text) | nindent 10
Returns: YAML, fields of a rule.
*/}}
{{- define "vllm-multinode.alert" -}}
{{- $rules := .root.Values.monitoring.rules -}}
{{- $page := $rules.runbookUrl | default (printf "%s/blob/main/docs/observability.md" .root.Chart.Home) -}}
labels:
  {{- merge (dict "severity" .severity) $rules.alertLabels | toYaml | nindent 2 }}
annotations:
  summary: {{ printf "%s/%s: %s" .root.Release.Namespace (include "vllm-multinode.fullname" .root) .summary | quote }}
  runbook_url: {{ printf "%s#%s" $page (lower .name) | quote }}
{{- end }}
