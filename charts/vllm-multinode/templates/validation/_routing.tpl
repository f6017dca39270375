{{/* Rules on routing. */}}

{{/*
Problems with routing.
Usage: include "vllm-multinode.rules.routing" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.routing" -}}
{{- $problems := list -}}
{{- with .Values.routing.httpRoute -}}
{{- if and .hostnames (not .parentRefs) -}}
{{- $problems = append $problems (dict "key" "routing.httpRoute.hostnames" "got" .hostnames
      "why" "has no effect: the chart creates a route only when routing.httpRoute.parentRefs is set"
      "fix" "Name the Gateway in routing.httpRoute.parentRefs.") -}}
{{- end -}}
{{- end -}}
{{- $affinity := .Values.service.sessionAffinitySeconds -}}
{{- if and .Values.routing.inferencePool.endpointPicker $affinity -}}
{{- $problems = append $problems (dict "key" "service.sessionAffinitySeconds" "got" $affinity
      "why" "has no effect on requests that routing.inferencePool.endpointPicker distributes"
      "fix" "Remove one of the two.") -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
