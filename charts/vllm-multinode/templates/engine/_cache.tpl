{{/* The cache of compiled kernels and graphs, and the bundle that fills it. */}}

{{/*
The name of the cache's directory. It has the image and the model, because what was compiled with another image or for
another model can't be reused. It does not have the GPU, because every cache has the GPU in its own keys.
Usage: include "vllm-multinode.cacheKey" .
Returns: the name, such as v0.33.0-deepseek-ai--deepseek-r1.
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
The volumes of the cache and of its bundle. A cache of type volumeClaimTemplate is missing here: LeaderWorkerSet adds
it.
Usage: include "vllm-multinode.cacheVolumes" .
Returns: YAML, a list, or nothing.
*/}}
{{- define "vllm-multinode.cacheVolumes" -}}
{{- if ne .Values.cache.type "volumeClaimTemplate" }}
- name: cache
  {{- include "vllm-multinode.volumeSource" .Values.cache | nindent 2 }}
{{- end }}
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
Claims that LeaderWorkerSet creates for each pod. They outlive the pod, and its successor with the same name uses them
again.
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
