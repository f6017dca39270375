{{/* Labels and metadata. */}}

{{/*
Labels that never change, for pods and selectors.
Usage: include "vllm-multinode.selectorLabels" . | nindent 4
Returns: YAML, a map.
*/}}
{{- define "vllm-multinode.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
Name, namespace, and labels of an object. Pods and selectors use selectorLabels instead: a label with the chart's
version would recreate every group at each upgrade.
Usage: include "vllm-multinode.metadata" (dict "root" $ "name" $name "labels" $more "annotations" $annotations) | nindent 2
Returns: YAML, a map; "labels" and "annotations" can be left out.
*/}}
{{- define "vllm-multinode.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "vllm-multinode.selectorLabels" .root | nindent 2 }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
