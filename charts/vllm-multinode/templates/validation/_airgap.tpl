{{/* Rules on clusters without access to the internet. */}}

{{/*
Problems with values that need the internet while airGap.enabled is true.
Usage: include "vllm-multinode.rules.airGap" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.airGap" -}}
{{- $problems := list -}}
{{- $values := .Values -}}
{{- $weights := $values.weights -}}
{{- if $values.airGap.enabled -}}
{{- if and (eq $weights.source "huggingFace") (not $weights.endpoint) -}}
{{- $problems = append $problems (dict "key" "weights.source" "got" "huggingFace"
      "why" "downloads from the internet, but airGap.enabled is true"
      "fix" "Use volume, image, or objectStore, or set weights.endpoint to a mirror of the Hub.") -}}
{{- end -}}
{{- if and $weights.download.enabled (not $weights.endpoint) -}}
{{- $problems = append $problems (dict "key" "weights.download.enabled" "got" true
      "why" "downloads from the internet, but airGap.enabled is true"
      "fix" "Set weights.endpoint to a mirror of the Hub, or fill the volume yourself.") -}}
{{- end -}}
{{- if regexMatch "^https?://([^/]+[.])?(huggingface[.]co|hf[.]co|hf-mirror[.]com)(:|/|$)" ($weights.endpoint | default "") -}}
{{- $problems = append $problems (dict "key" "weights.endpoint" "got" $weights.endpoint
      "why" "is on the internet, but airGap.enabled is true"
      "fix" "Set a mirror of your own.") -}}
{{- end -}}
{{- if and (eq $weights.source "objectStore") (not $weights.objectStore.endpoint) -}}
{{- $problems = append $problems (dict "key" "weights.objectStore.endpoint" "got" $weights.objectStore.endpoint
      "why" "defaults to Amazon's or Google's public address, but airGap.enabled is true"
      "fix" "Set the address of a store of your own, or of a private endpoint.") -}}
{{- end -}}
{{- range $name, $value := pick $values.engine.env "HF_HUB_OFFLINE" "TRANSFORMERS_OFFLINE" -}}
{{- if not (has (lower $value) (list "1" "true" "yes" "on")) -}}
{{- $problems = append $problems (dict "key" (printf "engine.env.%s" $name) "got" $value
      "why" "allows downloads, but airGap.enabled is true"
      "fix" "Remove it.") -}}
{{- end -}}
{{- end -}}
{{- $registry := $values.global.imageRegistry -}}
{{- range $key := list "extraInitContainers" "extraContainers" -}}
{{- range $container := index $values $key -}}
{{- if and $registry (not (hasPrefix (printf "%s/" $registry) ($container.image | default ""))) -}}
{{- $problems = append $problems (dict "key" $key "got" $container.image
      "why" "uses an image from a registry other than global.imageRegistry, but airGap.enabled is true"
      "fix" (printf "Prefix the image with %s/." $registry)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
