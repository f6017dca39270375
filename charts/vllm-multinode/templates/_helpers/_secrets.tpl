{{/* Environment variables that are read from Secrets. */}}

{{/*
A variable with the value of a Secret's key.
Usage: include "vllm-multinode.secretVariable" (dict "name" $variable "secret" $name "key" $key "optional" false)
Returns: YAML, a list with one item.
*/}}
{{- define "vllm-multinode.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end }}

{{/*
The API key, which vLLM and the Job of `helm test` need.
Usage: include "vllm-multinode.apiKeyVariable" . | nindent 4
Returns: YAML, a list with one item, or nothing.
*/}}
{{- define "vllm-multinode.apiKeyVariable" -}}
{{- with .Values.auth.apiKey -}}
{{- if .existingSecret -}}
{{- include "vllm-multinode.secretVariable" (dict "name" "VLLM_API_KEY" "secret" .existingSecret "key" .key) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
The name of the Secret with the Hugging Face token.
Usage: include "vllm-multinode.huggingFaceSecret" .
Returns: the name, or nothing without a token.
*/}}
{{- define "vllm-multinode.huggingFaceSecret" -}}
{{- with .Values.auth.huggingFace -}}
{{- if .existingSecret -}}
{{- .existingSecret -}}
{{- else if .token -}}
{{- printf "%s-huggingface" (include "vllm-multinode.fullname" $) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
The Hugging Face token.
Usage: include "vllm-multinode.huggingFaceVariables" .
Returns: YAML, a list, or nothing.
*/}}
{{- define "vllm-multinode.huggingFaceVariables" -}}
{{- $hub := .Values.auth.huggingFace -}}
{{- with include "vllm-multinode.huggingFaceSecret" . -}}
{{- range $variable := list "HF_TOKEN" "HUGGING_FACE_HUB_TOKEN" }}
{{ include "vllm-multinode.secretVariable" (dict "name" . "secret" (include "vllm-multinode.huggingFaceSecret" $) "key" $hub.key "optional" $hub.optional) }}
{{- end -}}
{{- end -}}
{{- end }}
