{{/* Rules on tokens and keys. */}}

{{/*
Problems with auth.
Usage: include "vllm-multinode.rules.auth" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.auth" -}}
{{- $problems := list -}}
{{- $hub := .Values.auth.huggingFace -}}
{{- if and $hub.existingSecret $hub.token -}}
{{- $problems = append $problems (dict "key" "auth.huggingFace.token" "got" "…"
      "why" "can't be set together with auth.huggingFace.existingSecret"
      "fix" "Remove one of the two. A Secret of your own keeps the token out of the Helm release.") -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
