{{/* Rules on Secrets. A message is: key: value why. Fix. */}}

{{/*
Rules on tokens and keys.
Usage: include "vllm-multinode.rules.access" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.access" -}}
{{- $problems := list -}}
{{- $hub := .Values.auth.huggingFace -}}
{{- if and $hub.existingSecret $hub.token -}}
{{- $problems = append $problems `auth.huggingFace.token: "…" is given together with existingSecret, and only one can be the token. Leave one of the two out; a Secret of your own keeps the token out of the release.` -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
