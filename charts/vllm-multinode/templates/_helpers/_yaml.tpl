{{/* Reading YAML. */}}

{{/*
YAML as JSON. Helm's fromYaml does not fail: it returns the parser's message under the key Error, which would go
unnoticed.
Usage: include "vllm-multinode.parsed" (dict "what" "files/fabrics.yaml" "yaml" $text) | fromJson
Returns: JSON, a map. It fails when the text is not a map in YAML.
*/}}
{{- define "vllm-multinode.parsed" -}}
{{- $parsed := fromYaml .yaml -}}
{{- if hasKey $parsed "Error" -}}
{{- fail (printf "%s is not valid YAML: %s" .what $parsed.Error) -}}
{{- end -}}
{{- toJson $parsed -}}
{{- end }}
