{{/* Rules on volumes of all kinds, and on the cache. A message is: key: value why. Fix. */}}

{{/*
Rules on volumes: each type needs its own key, and has no use for others.
Usage: include "vllm-multinode.rules.volumes" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.volumes" -}}
{{- $problems := list -}}
{{- $made := .Values.weights.volume.create -}}
{{- range $where, $volume := dict "weights.volume" .Values.weights.volume "cache" .Values.cache "cache.bundle" .Values.cache.bundle -}}
{{- $chosen := $volume.type | default "null" -}}
{{- range $type, $key := dict "hostPath" "hostPath" "persistentVolumeClaim" "claimName" "image" "image" -}}
{{- $value := get $volume $key -}}
{{- $needed := not (and $made (eq $where "weights.volume") (eq $key "claimName")) -}}
{{- if and (eq $chosen $type) (not $value) $needed -}}
{{- $problems = append $problems (printf "%s.%s: null is missing, and type is %s. Set it." $where $key $type) -}}
{{- else if and (ne $chosen $type) $value -}}
{{- $problems = append $problems (printf "%s.%s: %q is not used with type %s. Leave it out, or set %s.type to %s." $where $key $value $chosen $where $type) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}

{{/*
Rules on the cache.
Usage: include "vllm-multinode.rules.cache" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.cache" -}}
{{- $problems := list -}}
{{- with .Values.cache -}}
{{- if and (eq .type "volumeClaimTemplate") (not .size) -}}
{{- $problems = append $problems "cache.size: null is missing, and a claim needs a size. Set 20Gi: caches of one model take less than 1 GiB, kept logs up to 20 MiB a group." -}}
{{- else if and .storageClassName (ne .type "volumeClaimTemplate") -}}
{{- $problems = append $problems (printf "cache.storageClassName: %q is not used with type %s. Leave it out, or set cache.type to volumeClaimTemplate." .storageClassName .type) -}}
{{- end -}}
{{- if hasSuffix ":latest" (.bundle.image | default "") -}}
{{- $problems = append $problems (printf "cache.bundle.image: %q changes under running groups. Use another tag, or a digest." .bundle.image) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
