{{/* Where compiled kernels and graphs are kept, and what fills them. */}}

{{/*
Folder of the caches: what was compiled by another image, or for another model, is of no use. The GPU is not in it, as
every cache has that in its own keys.
Usage: include "vllm-multinode.cacheKey" .
Returns: a folder's name, such as v0.32.0-deepseek-ai--deepseek-r1.
*/}}
{{- define "vllm-multinode.cacheKey" -}}
{{- $version := include "vllm-multinode.tag" . -}}
{{- with .Values.image.digest -}}
{{- $version = trunc 12 (trimPrefix "sha256:" .) -}}
{{- end -}}
{{- $model := .Values.model.name | lower | replace "/" "--" -}}
{{- printf "%s-%s" $version (regexReplaceAll "[^a-z0-9._-]+" $model "-") -}}
{{- end }}

{{/*
Volume of the bundle that fills empty caches.
Usage: include "vllm-multinode.bundleVolume" .
Returns: YAML, a list of one, or nothing.
*/}}
{{- define "vllm-multinode.bundleVolume" -}}
{{- with .Values.cache.bundle }}
{{- if .type }}
- name: bundle
  {{- if eq .type "image" }}
  image: {reference: {{ include "vllm-multinode.mirrored" (dict "root" $ "reference" .image) | quote }}}
  {{- else }}
  {{- include "vllm-multinode.volumeSource" . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Claims that LeaderWorkerSet makes for each pod; they stay when the pod goes, for its successor of the same name.
Usage: include "vllm-multinode.volumeClaimTemplates" . | nindent 6
Returns: YAML, a list, or nothing.
*/}}
{{- define "vllm-multinode.volumeClaimTemplates" -}}
{{- with .Values.cache -}}
{{- if eq .type "volumeClaimTemplate" -}}
- metadata:
    name: cache
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources: {requests: {storage: {{ .size }}}}
{{- end -}}
{{- end -}}
{{- end }}
