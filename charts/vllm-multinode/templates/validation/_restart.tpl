{{/* Rules on restarts in place. */}}

{{/*
Problems with group.inPlaceRestart: what starts the engines, and the ports that it needs.
Usage: include "vllm-multinode.rules.restart" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.restart" -}}
{{- $problems := list -}}
{{- $engine := .Values.engine -}}
{{- if and .Values.group.inPlaceRestart.standby (not .Values.group.inPlaceRestart.enabled) -}}
{{- $problems = append $problems (dict "key" "group.inPlaceRestart.standby" "got" true
      "why" "keeps a process for restarts in place, which are off"
      "fix" "Set group.inPlaceRestart.enabled to true, or remove it.") -}}
{{- end -}}
{{- if .Values.group.inPlaceRestart.enabled -}}
{{- if eq $engine.backend "ray" -}}
{{- $problems = append $problems (dict "key" "group.inPlaceRestart.enabled" "got" true
      "why" "starts the engines of vLLM's own multiprocessing again, but engine.backend is ray"
      "fix" "Use engine.backend: mp, or leave it off.") -}}
{{- end -}}
{{- $first := add1 $engine.masterPort | int -}}
{{- $count := ternary 10 8 .Values.group.inPlaceRestart.keepWeights -}}
{{- $ports := ternary "ten" "eight" .Values.group.inPlaceRestart.keepWeights -}}
{{- $last := add $engine.masterPort $count | int -}}
{{- $servers := include "vllm-multinode.servers" . | fromJson -}}
{{- $problem := dict "key" "engine.masterPort" "got" $engine.masterPort "fix" "Use another port, such as 29501." -}}
{{- if gt $last 65535 -}}
{{- $problems = append $problems (merge (dict
      "why" (printf "leaves no room for the %s ports after it that group.inPlaceRestart needs" $ports)) $problem) -}}
{{- end -}}
{{- range append $servers.ports $servers.health | uniq -}}
{{- if and (ge (int .number) $first) (le (int .number) $last) -}}
{{- $problems = append $problems (merge (dict
      "why" (printf "is followed by %s ports that group.inPlaceRestart needs, but a server of the pods uses %d" $ports (int .number))) $problem) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
