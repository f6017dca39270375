{{/* The nodes that pods may run on. */}}

{{/*
Tolerations and node selector of every pod. The tolerations are for nodes with GPUs, for lost nodes during a short time,
and the user's own.
Usage: include "vllm-multinode.nodes" . | nindent 2
Returns: YAML, fields of a pod's spec.
*/}}
{{- define "vllm-multinode.nodes" -}}
tolerations:
  {{- with .Values.group.gpuResource }}
  - {key: {{ . }}, operator: Exists}
  {{- end }}
  {{- range list "unreachable" "not-ready" }}
  - key: node.kubernetes.io/{{ . }}
    operator: Exists
    effect: NoExecute
    tolerationSeconds: {{ $.Values.scheduling.nodeLossSeconds }}
  {{- end }}
  {{- with .Values.scheduling.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
