{{/* Names of objects, and labels. */}}

{{/*
Name of the LeaderWorkerSet, and start of all other names.
Usage: include "vllm-multinode.fullname" .
Returns: the name; the rule on names.length bounds it.
*/}}
{{- define "vllm-multinode.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name -}}
{{- end }}

{{/*
Name of the clients' Service. Never the LeaderWorkerSet's own, which its headless Service has.
Usage: include "vllm-multinode.serviceName" .
Returns: the name.
*/}}
{{- define "vllm-multinode.serviceName" -}}
{{- .Values.service.name | default (printf "%s-leader" (include "vllm-multinode.fullname" .)) -}}
{{- end }}

{{/*
Name of the pods' ServiceAccount.
Usage: include "vllm-multinode.serviceAccountName" .
Returns: the name.
*/}}
{{- define "vllm-multinode.serviceAccountName" -}}
{{- $made := ternary (include "vllm-multinode.fullname" .) "default" .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default $made -}}
{{- end }}

{{/*
Name of the Secret with the Hugging Face token.
Usage: include "vllm-multinode.huggingFaceSecret" .
Returns: the name, empty when there is no token.
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
An image in the registry that all come from, when there is one, instead of its own.
Usage: include "vllm-multinode.mirrored" (dict "root" $ "reference" $reference)
Returns: the reference.
*/}}
{{- define "vllm-multinode.mirrored" -}}
{{- $parts := splitList "/" .reference -}}
{{- $named := and (gt (len $parts) 1) (regexMatch "[.:]|^localhost$" (first $parts)) -}}
{{- with .root.Values.global.imageRegistry -}}
{{- printf "%s/%s" . (ternary (rest $parts) $parts $named | join "/") -}}
{{- else -}}
{{- .reference -}}
{{- end -}}
{{- end }}

{{/*
Tag of vLLM's image; it follows the chart's appVersion.
Usage: include "vllm-multinode.tag" .
Returns: the tag.
*/}}
{{- define "vllm-multinode.tag" -}}
{{- .Values.image.tag | default (printf "v%s" .Chart.AppVersion) -}}
{{- end }}

{{/*
vLLM's image.
Usage: include "vllm-multinode.image" .
Returns: the reference.
*/}}
{{- define "vllm-multinode.image" -}}
{{- include "vllm-multinode.reference" (merge (dict "root" $ "tag" (include "vllm-multinode.tag" .)) .Values.image) -}}
{{- end }}

{{/*
An image's reference, by digest when there is one, else by tag, in the registry that all come from.
Usage: include "vllm-multinode.reference" (dict "root" $ "repository" $name "tag" $tag "digest" nil)
Returns: the reference.
*/}}
{{- define "vllm-multinode.reference" -}}
{{- $reference := ternary (printf "%s@%s" .repository .digest) (printf "%s:%s" .repository .tag) (not (empty .digest)) -}}
{{- include "vllm-multinode.mirrored" (dict "root" .root "reference" $reference) -}}
{{- end }}

{{/*
Labels that never change, for pods and selectors.
Usage: include "vllm-multinode.selectorLabels" . | nindent 4
Returns: YAML.
*/}}
{{- define "vllm-multinode.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
Name, namespace and labels of an object that the release owns. Pods and selectors have selectorLabels only: what
changes with the chart's version would restart every GPU pod.
Usage: include "vllm-multinode.metadata" (dict "root" $ "name" $name) | nindent 2, or with "labels" (dict …) more of them
Returns: YAML.
*/}}
{{- define "vllm-multinode.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "vllm-multinode.selectorLabels" .root | nindent 2 }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
