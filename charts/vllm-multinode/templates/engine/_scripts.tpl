{{/* The scripts that the pods of a group run. */}}

{{/*
The scripts of a pod. A change in here recreates every group, as the pods carry a checksum of it.
Usage: include "vllm-multinode.scripts" (dict "root" $ "fabric" $fabric) | nindent 2
Returns: YAML, a map from file name to content.
*/}}
{{- define "vllm-multinode.scripts" -}}
{{- (.root.Files.Glob "files/engine/*").AsConfig -}}
{{- if .fabric.wrapped }}
{{ (.root.Files.Glob "files/fabric/*.sh").AsConfig }}
{{- end -}}
{{- if .root.Values.group.inPlaceRestart.enabled }}
{{ (.root.Files.Glob "files/restart/*").AsConfig }}
{{- end -}}
{{- end }}
