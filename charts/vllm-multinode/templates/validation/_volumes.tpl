{{/* Rules on the volumes of the weights, the cache, and the cache bundle. */}}

{{/*
Problems with volumes: each type requires its own key, and does not use the keys of the other types.
Usage: include "vllm-multinode.rules.volumes" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.volumes" -}}
{{- $problems := list -}}
{{- $createsClaim := .Values.weights.volume.create -}}
{{- range $where, $volume := dict "weights.volume" .Values.weights.volume "cache" .Values.cache "cache.bundle" .Values.cache.bundle -}}
{{- $chosen := $volume.type | default "null" -}}
{{- range $type, $key := dict "hostPath" "hostPath" "persistentVolumeClaim" "claimName" "image" "image" -}}
{{- $value := get $volume $key -}}
{{- $required := not (and $createsClaim (eq $where "weights.volume") (eq $key "claimName")) -}}
{{- $problem := dict "key" (printf "%s.%s" $where $key) "got" ($value | default nil) -}}
{{- if and (eq $chosen $type) (not $value) $required -}}
{{- $problems = append $problems (merge (dict
      "why" (printf "is required with %s.type %s" $where $type)
      "fix" "Set it, or choose another type.") $problem) -}}
{{- else if and (ne $chosen $type) $value -}}
{{- $problems = append $problems (merge (dict
      "why" (printf "is not used with %s.type %s" $where $chosen)
      "fix" (printf "Remove it, or set %s.type to %s." $where $type)) $problem) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
