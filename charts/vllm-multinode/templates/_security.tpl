{{/* What pods may do. */}}

{{/*
Security context of a pod: no root, unless RDMA needs it (IPC_LOCK is without effect for other users).
Usage: include "vllm-multinode.podSecurity" . | nindent 4
Returns: YAML.
*/}}
{{- define "vllm-multinode.podSecurity" -}}
{{- $tcp := eq .Values.fabric.profile "tcp" -}}
{{- $user := ternary .Values.security.userId 0 $tcp | int -}}
{{- $derived := dict "runAsNonRoot" $tcp "runAsUser" $user "fsGroup" $user "fsGroupChangePolicy" "OnRootMismatch"
      "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- mergeOverwrite $derived .Values.security.podSecurityContext | toYaml -}}
{{- end }}

{{/*
Security context of vLLM's container: no capabilities but IPC_LOCK for RDMA.
Usage: include "vllm-multinode.containerSecurity" . | nindent 4
Returns: YAML.
*/}}
{{- define "vllm-multinode.containerSecurity" -}}
{{- $capabilities := dict "drop" (list "ALL") -}}
{{- if ne .Values.fabric.profile "tcp" -}}
{{- $_ := set $capabilities "add" (list "IPC_LOCK") -}}
{{- end -}}
{{- $derived := dict "allowPrivilegeEscalation" false "capabilities" $capabilities -}}
{{- mergeOverwrite $derived .Values.security.containerSecurityContext | toYaml -}}
{{- end }}
