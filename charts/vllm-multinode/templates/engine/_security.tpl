{{/* What pods may do. */}}

{{/*
Security context of a pod: no root, unless the fabric needs it (IPC_LOCK is without effect for other users). Without
security.userId the cluster chooses the user and the group, as OpenShift does.
Usage: include "vllm-multinode.podSecurity" . | nindent 4
Returns: YAML.
*/}}
{{- define "vllm-multinode.podSecurity" -}}
{{- $root := not (empty (include "vllm-multinode.fabric" . | fromJson).root) -}}
{{- $user := ternary 0 .Values.security.userId $root -}}
{{- $derived := dict "runAsNonRoot" (not $root) "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- if not (kindIs "invalid" $user) -}}
{{- $derived = merge $derived (dict "runAsUser" (int $user) "fsGroup" (int $user) "fsGroupChangePolicy" "OnRootMismatch") -}}
{{- end -}}
{{- mergeOverwrite $derived .Values.security.podSecurityContext | toYaml -}}
{{- end }}

{{/*
Security context of vLLM's container: no capabilities but the fabric's.
Usage: include "vllm-multinode.containerSecurity" . | nindent 4
Returns: YAML.
*/}}
{{- define "vllm-multinode.containerSecurity" -}}
{{- $capabilities := dict "drop" (list "ALL") -}}
{{- with (include "vllm-multinode.fabric" . | fromJson).capabilities -}}
{{- $_ := set $capabilities "add" . -}}
{{- end -}}
{{- $derived := dict "allowPrivilegeEscalation" false "capabilities" $capabilities -}}
{{- mergeOverwrite $derived .Values.security.containerSecurityContext | toYaml -}}
{{- end }}
