{{/* Values of earlier versions. A message is: CHANGED: key is now another. Value, and what to write. */}}

{{/*
Rules on renamed and removed values, from renamed.yaml.
Usage: include "vllm-multinode.rules.renamed" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.renamed" -}}
{{- $problems := list -}}
{{- $renamed := include "vllm-multinode.parsed" (dict "what" "files/renamed.yaml" "yaml" (.Files.Get "files/renamed.yaml")) | fromJson -}}
{{- range $old, $entry := $renamed -}}
{{- $here := $.Values -}}
{{- range $part := splitList "." $old -}}
{{- $here = index (ternary $here dict (kindIs "map" $here)) $part -}}
{{- end -}}
{{- if not (kindIs "invalid" $here) -}}
{{- $value := ternary "…" (toJson $here) (default false $entry.secret) -}}
{{- $now := "is gone" -}}
{{- $how := $entry.how | default "Leave it out." -}}
{{- with $entry.to -}}
{{- $now = printf "is now %s" . -}}
{{- $how = $entry.how | default (printf "Write %s: %s." . $value) -}}
{{- end -}}
{{- $problems = append $problems (printf "CHANGED: %s %s. It has %s. %s" $old $now $value $how) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
