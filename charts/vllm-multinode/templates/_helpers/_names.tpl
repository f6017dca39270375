{{/* Names of the release's objects. */}}

{{/*
The name of the LeaderWorkerSet. The names of all other objects start with it.
Usage: include "vllm-multinode.fullname" .
Returns: the name; a rule limits its length.
*/}}
{{- define "vllm-multinode.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name -}}
{{- end }}

{{/*
The name of the Service for clients. It must differ from the LeaderWorkerSet's name, which LWS gives to its headless
Service.
Usage: include "vllm-multinode.serviceName" .
Returns: the name.
*/}}
{{- define "vllm-multinode.serviceName" -}}
{{- .Values.service.name | default (printf "%s-leader" (include "vllm-multinode.fullname" .)) -}}
{{- end }}

{{/*
The name of the ServiceAccount that the pods run as.
Usage: include "vllm-multinode.serviceAccountName" .
Returns: the name.
*/}}
{{- define "vllm-multinode.serviceAccountName" -}}
{{- $derived := ternary (include "vllm-multinode.fullname" .) "default" .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default $derived -}}
{{- end }}
