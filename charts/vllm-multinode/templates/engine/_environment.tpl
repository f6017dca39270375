{{/* Environment variables of vLLM's container, the same for both roles. */}}

{{/*
A variable from a key of a Secret.
Usage: include "vllm-multinode.secretVariable" (dict "name" $variable "secret" $name "key" $key "optional" false)
Returns: YAML, a list of one.
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
The API key, for the server and for helm test.
Usage: include "vllm-multinode.apiKeyVariable" . | nindent 4
Returns: YAML, a list of one, or nothing.
*/}}
{{- define "vllm-multinode.apiKeyVariable" -}}
{{- with .Values.auth.apiKey -}}
{{- if .existingSecret -}}
{{- include "vllm-multinode.secretVariable" (dict "name" "VLLM_API_KEY" "secret" .existingSecret "key" .key) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
The hub's token.
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

{{/*
All variables. VLLM_HOST_IP comes first and from the pod: vLLM would otherwise ask the routing table for a way to a
public address, which is wrong in air-gapped and multi-network pods.
Usage: include "vllm-multinode.environment" . | nindent 4
Returns: YAML, a list.
*/}}
{{- define "vllm-multinode.environment" -}}
- name: VLLM_HOST_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- range $name, $value := include "vllm-multinode.plainEnvironment" . | fromJson }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- include "vllm-multinode.huggingFaceVariables" . }}
{{- with .Values.weights.objectStore.existingSecret }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
{{ include "vllm-multinode.secretVariable" (dict "name" . "secret" $.Values.weights.objectStore.existingSecret "key" .) }}
{{- end }}
{{- end }}
{{- with include "vllm-multinode.apiKeyVariable" . }}
{{ . }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
