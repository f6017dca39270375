{{/* Parts of volumes that several components share. */}}

{{/*
The source of a volume, by the type that its values choose.
Usage: include "vllm-multinode.volumeSource" .Values.cache | nindent 2
Returns: YAML, a field of a volume.
*/}}
{{- define "vllm-multinode.volumeSource" -}}
{{- if eq .type "hostPath" -}}
hostPath: {path: {{ .hostPath }}, type: Directory}
{{- else if eq .type "persistentVolumeClaim" -}}
persistentVolumeClaim: {claimName: {{ .claimName }}}
{{- else if .size -}}
emptyDir: {sizeLimit: {{ .size }}}
{{- else -}}
emptyDir: {}
{{- end -}}
{{- end }}
