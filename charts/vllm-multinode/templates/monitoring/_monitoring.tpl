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

{{/*
A metric of the DCGM exporter for this release's pods, with the labels namespace, pod, gpu, and group. The exporter writes
the pod that uses a GPU into namespace and pod, which Prometheus moves to exported_namespace and exported_pod, unless
honorLabels is set.
Usage: include "vllm-multinode.gpuSeries" (dict "root" $ "metric" "DCGM_FI_DEV_SM_CLOCK" "form" "avg_over_time(%s[5m])")
Returns: an expression in PromQL; "form", "more" matchers, and labels to keep ("by") can be left out.
*/}}
{{- define "vllm-multinode.gpuSeries" -}}
{{- $name := include "vllm-multinode.fullname" .root -}}
{{- $where := printf `namespace="%s",PREFIXpod=~"%s-[0-9]+(-[0-9]+)?"%s` .root.Release.Namespace $name (.more | default "") -}}
{{- $form := .form | default "%s" -}}
{{- $own := printf $form (printf "%s{%s}" .metric (replace "PREFIX" "" $where)) -}}
{{- $moved := printf $form (printf "%s{exported_%s}" .metric (replace "PREFIX" "exported_" $where)) -}}
{{- range $label := list "namespace" "pod" -}}
{{- $moved = printf `label_replace(%s, "%s", "$1", "exported_%s", "(.+)")` $moved $label $label -}}
{{- end -}}
label_replace(max by (namespace, pod, gpu{{ .by }}) ({{ $moved }} or {{ $own }}), "group", "$1", "pod", "{{ $name }}-([0-9]+)(-[0-9]+)?")
{{- end }}
