{{/* Volumes and their mounts, the same for both roles. */}}

{{/*
The volumes of a pod.
Usage: include "vllm-multinode.volumes" (dict "root" $ "fabric" $fabric) | nindent 4
Returns: YAML, a list.
*/}}
{{- define "vllm-multinode.volumes" -}}
{{- $root := .root -}}
- name: scripts
  configMap:
    name: {{ include "vllm-multinode.fullname" $root }}-scripts
- name: dshm
  emptyDir: {medium: Memory, sizeLimit: {{ include "vllm-multinode.sharedMemory" $root }}}
- name: tmp
  emptyDir: {}
{{- if $root.Values.fabric.bandwidthCheck.enabled }}
- name: bandwidth
  configMap:
    name: {{ include "vllm-multinode.fullname" $root }}-bandwidth
{{- end }}
{{- include "vllm-multinode.cacheVolumes" $root }}
{{- include "vllm-multinode.weightsVolumes" $root }}
{{- range $folder, $name := .fabric.volumes }}
- name: {{ $name }}
  hostPath: {path: {{ $folder }}, type: Directory}
{{- end }}
{{- with $root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
The mounts of vLLM's container.
Usage: include "vllm-multinode.mounts" (dict "root" $ "fabric" $fabric) | nindent 8
Returns: YAML, a list.
*/}}
{{- define "vllm-multinode.mounts" -}}
{{- $values := .root.Values -}}
{{- $volumes := .fabric.volumes -}}
- {name: scripts, mountPath: /etc/vllm-multinode, readOnly: true}
- {name: dshm, mountPath: /dev/shm}
- {name: tmp, mountPath: /tmp}
- {name: cache, mountPath: /cache}
{{- if $values.cache.bundle.type }}
- {name: bundle, mountPath: /bundle, readOnly: true}
{{- end }}
{{- if ne $values.weights.source "objectStore" }}
- name: weights
  mountPath: {{ $values.weights.mountPath }}
  {{- if ne $values.weights.source "huggingFace" }}
  readOnly: true
  {{- end }}
{{- end }}
{{- range $path, $folder := .fabric.mounts }}
- {name: {{ get $volumes $folder }}, mountPath: {{ $path }}{{ if not (hasPrefix "/dev/" $path) }}, readOnly: true{{ end }}}
{{- end }}
{{- with $values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
