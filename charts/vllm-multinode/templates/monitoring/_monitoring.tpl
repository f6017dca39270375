{{/* How monitoring finds this release's series. */}}

{{/*
Labels of the series that the PodMonitor makes: its job is the LeaderWorkerSet's name.
Usage: printf "up{%s}" (include "vllm-multinode.series" .)
Returns: matchers of PromQL.
*/}}
{{- define "vllm-multinode.series" -}}
namespace="{{ .Release.Namespace }}",job="{{ include "vllm-multinode.fullname" . }}"
{{- end }}

{{/*
What every alert has: severity and labels, and the page that says what to do.
Usage: include "vllm-multinode.alert" (dict "root" $ "name" "VllmDown" "severity" "critical" "summary" $text) | nindent 10
Returns: YAML, labels and annotations of a rule.
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
