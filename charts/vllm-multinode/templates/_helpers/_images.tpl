{{/* Images, and access to their registries. */}}

{{/*
An image reference with global.imageRegistry, if it is set, in place of the image's own registry.
Usage: include "vllm-multinode.mirrored" (dict "root" $ "reference" $reference)
Returns: the reference.
*/}}
{{- define "vllm-multinode.mirrored" -}}
{{- $parts := splitList "/" .reference -}}
{{- $hasRegistry := and (gt (len $parts) 1) (regexMatch "[.:]|^localhost$" (first $parts)) -}}
{{- with .root.Values.global.imageRegistry -}}
{{- printf "%s/%s" . (ternary (rest $parts) $parts $hasRegistry | join "/") -}}
{{- else -}}
{{- .reference -}}
{{- end -}}
{{- end }}

{{/*
An image reference by digest if there is one, else by tag.
Usage: include "vllm-multinode.reference" (dict "root" $ "repository" $name "tag" $tag "digest" nil)
Returns: the reference, in global.imageRegistry if that is set.
*/}}
{{- define "vllm-multinode.reference" -}}
{{- $reference := ternary (printf "%s@%s" .repository .digest) (printf "%s:%s" .repository .tag) (not (empty .digest)) -}}
{{- include "vllm-multinode.mirrored" (dict "root" .root "reference" $reference) -}}
{{- end }}

{{/*
The tag of vLLM's image. By default it follows the chart's appVersion.
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
The Secrets with access to the images' registry.
Usage: include "vllm-multinode.pullSecrets" . | nindent 2
Returns: YAML, a field of a pod's spec, or nothing.
*/}}
{{- define "vllm-multinode.pullSecrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end -}}
{{- end }}
