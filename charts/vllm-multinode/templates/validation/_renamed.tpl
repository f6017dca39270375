{{/* Values of earlier versions of the chart. */}}

{{/*
Problems with values that were renamed or removed, as files/renamed.yaml lists them.
Usage: include "vllm-multinode.rules.renamed" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.renamed" -}}
{{- $problems := list -}}
{{- $renamed := include "vllm-multinode.parsed" (dict "what" "files/renamed.yaml" "yaml" (.Files.Get "files/renamed.yaml")) | fromJson -}}
{{- range $old, $entry := $renamed -}}
{{- $value := $.Values -}}
{{- range $part := splitList "." $old -}}
{{- $value = index (ternary $value dict (kindIs "map" $value)) $part -}}
{{- end -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $got := ternary "…" $value (default false $entry.secret) -}}
{{- $why := "was removed from this chart" -}}
{{- $fix := $entry.how | default "Remove it." -}}
{{- with $entry.to -}}
{{- $why = printf "was renamed to %s" . -}}
{{- $fix = $entry.how | default (printf "Set %s: %s." . (toRawJson $got)) -}}
{{- end -}}
{{- if $.Release.IsUpgrade -}}
{{- $fix = printf "%s If your values don't have it, use --reset-then-reuse-values instead of --reuse-values, which keeps the defaults of the old chart." $fix -}}
{{- end -}}
{{- $problems = append $problems (dict "key" $old "got" $got "why" $why "fix" $fix) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
