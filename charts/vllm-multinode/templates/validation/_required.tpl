{{/* Rules on keys that must have a value. */}}

{{/*
Problems with keys that are null or missing, as files/required.yaml lists them. Helm removes a key that is null, so that
both look the same. A key below one that is missing is not a problem of its own.
Usage: include "vllm-multinode.rules.required" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.required" -}}
{{- $problems := list -}}
{{- $required := include "vllm-multinode.parsed" (dict "what" "files/required.yaml" "yaml" (.Files.Get "files/required.yaml")) | fromJson -}}
{{- range $key := $required.keys -}}
{{- $parts := splitList "." $key -}}
{{- $map := $.Values -}}
{{- range initial $parts -}}
{{- $map = index (ternary $map dict (kindIs "map" $map)) . -}}
{{- end -}}
{{- if and (kindIs "map" $map) (kindIs "invalid" (index $map (last $parts))) -}}
{{- $problems = append $problems (dict "key" $key "got" nil
      "why" "must not be null or missing"
      "fix" "Remove the key from your values to use its default. In an upgrade with --reuse-values, use --reset-then-reuse-values instead, as the old release has no values for new keys.") -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
