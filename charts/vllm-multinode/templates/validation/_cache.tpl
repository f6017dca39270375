{{/* Rules on the cache. */}}

{{/*
Problems with the cache and its bundle.
Usage: include "vllm-multinode.rules.cache" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.cache" -}}
{{- $problems := list -}}
{{- with .Values.cache -}}
{{- if and (eq .type "volumeClaimTemplate") (not .size) -}}
{{- $problems = append $problems (dict "key" "cache.size" "got" .size
      "why" "is required with cache.type volumeClaimTemplate"
      "fix" "Set it to 20Gi: the cache of one model takes less than 1 GiB, and the logs that are kept up to 20 MiB per group.") -}}
{{- else if and .storageClassName (ne .type "volumeClaimTemplate") -}}
{{- $problems = append $problems (dict "key" "cache.storageClassName" "got" .storageClassName
      "why" (printf "is not used with cache.type %s" .type)
      "fix" "Remove it, or set cache.type to volumeClaimTemplate.") -}}
{{- end -}}
{{- if hasSuffix ":latest" (.bundle.image | default "") -}}
{{- $problems = append $problems (dict "key" "cache.bundle.image" "got" .bundle.image
      "why" "can change while groups run"
      "fix" "Use another tag, or a digest.") -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
