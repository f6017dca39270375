{{/* Volumes and their mounts, the same for both roles. */}}

{{/*
Source of a volume by its type.
Usage: include "vllm-multinode.volumeSource" .Values.cache | nindent 2
Returns: YAML, fields of a volume.
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

{{/*
Volumes of a pod.
Usage: include "vllm-multinode.volumes" . | nindent 4
Returns: YAML, a list.
*/}}
{{- define "vllm-multinode.volumes" -}}
- name: scripts
  configMap:
    name: {{ include "vllm-multinode.fullname" . }}-scripts
- name: dshm
  emptyDir: {medium: Memory, sizeLimit: {{ include "vllm-multinode.sharedMemory" . }}}
- name: tmp
  emptyDir: {}
{{- if ne .Values.cache.type "volumeClaimTemplate" }}
- name: cache
  {{- include "vllm-multinode.volumeSource" .Values.cache | nindent 2 }}
{{- end }}
{{- include "vllm-multinode.bundleVolume" . }}
{{- include "vllm-multinode.weightsVolumes" . }}
{{- range $folder, $name := (include "vllm-multinode.fabric" . | fromJson).volumes }}
- name: {{ $name }}
  hostPath: {path: {{ $folder }}, type: Directory}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
Mounts of vLLM's container.
Usage: include "vllm-multinode.mounts" . | nindent 8
Returns: YAML, a list.
*/}}
{{- define "vllm-multinode.mounts" -}}
- {name: scripts, mountPath: /etc/vllm-multinode, readOnly: true}
- {name: dshm, mountPath: /dev/shm}
- {name: tmp, mountPath: /tmp}
- {name: cache, mountPath: /cache}
{{- if .Values.cache.bundle.type }}
- {name: bundle, mountPath: /bundle, readOnly: true}
{{- end }}
{{- if ne .Values.weights.source "objectStore" }}
- name: weights
  mountPath: {{ .Values.weights.mountPath }}
  {{- if ne .Values.weights.source "huggingFace" }}
  readOnly: true
  {{- end }}
{{- end }}
{{- $fabric := include "vllm-multinode.fabric" . | fromJson }}
{{- range $path, $folder := $fabric.mounts }}
- {name: {{ get $fabric.volumes $folder }}, mountPath: {{ $path }}{{ if not (hasPrefix "/dev/" $path) }}, readOnly: true{{ end }}}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
