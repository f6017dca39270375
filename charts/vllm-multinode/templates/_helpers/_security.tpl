{{/* Security contexts. */}}

{{/*
The security context of a pod. Containers do not run as root unless the fabric needs it: IPC_LOCK has no effect for
other users. When security.userId is null, the cluster chooses the user and the group, as OpenShift does.
Usage: include "vllm-multinode.podSecurity" (dict "root" $ "fabric" $fabric) | nindent 4
Returns: YAML, a map.
*/}}
{{- define "vllm-multinode.podSecurity" -}}
{{- $security := .root.Values.security -}}
{{- $asRoot := not (empty .fabric.root) -}}
{{- $user := ternary 0 $security.userId $asRoot -}}
{{- $derived := dict "runAsNonRoot" (not $asRoot) "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- if not (kindIs "invalid" $user) -}}
{{- $derived = merge $derived (dict "runAsUser" (int $user) "fsGroup" (int $user) "fsGroupChangePolicy" "OnRootMismatch") -}}
{{- end -}}
{{- mergeOverwrite $derived $security.podSecurityContext | toYaml -}}
{{- end }}

{{/*
The security context of a container. It has no capabilities but those given.
Usage: include "vllm-multinode.containerSecurity" (dict "root" $ "capabilities" (list "IPC_LOCK")) | nindent 4
Returns: YAML, a map; "capabilities" can be left out.
*/}}
{{- define "vllm-multinode.containerSecurity" -}}
{{- $capabilities := dict "drop" (list "ALL") -}}
{{- with .capabilities -}}
{{- $_ := set $capabilities "add" . -}}
{{- end -}}
{{- $derived := dict "allowPrivilegeEscalation" false "capabilities" $capabilities -}}
{{- mergeOverwrite $derived .root.Values.security.containerSecurityContext | toYaml -}}
{{- end }}
