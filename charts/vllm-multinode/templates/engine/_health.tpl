{{/* How Kubernetes asks a pod for its health, and tells it to end. */}}

{{/*
Probes and the preStop hook of a role. The leader is asked for /health, which does not answer before the weights are
loaded; a worker dials its leader, as it would otherwise wait for ever for one that is gone.
Usage: include "vllm-multinode.health" (dict "root" $ "role" "leader") | nindent 4
Returns: YAML.
*/}}
{{- define "vllm-multinode.health" -}}
{{- $probes := .root.Values.probes -}}
{{- $dial := dict "exec" (dict "command" (list "/bin/bash" "/etc/vllm-multinode/follower-probe.sh")) -}}
{{- $ask := dict "httpGet" (dict "path" "/health" "port" "http") -}}
{{- $handler := ternary $ask $dial (eq .role "leader") -}}
{{- $periods := div (add (include "vllm-multinode.startupSeconds" .root | int) 4) 5 -}}
{{- $startup := dict "periodSeconds" 5 "timeoutSeconds" 5 "failureThreshold" $periods -}}
startupProbe:
  {{- merge $startup $handler | toYaml | nindent 2 }}
readinessProbe:
  {{- merge (deepCopy $probes.readiness) $handler | toYaml | nindent 2 }}
livenessProbe:
  {{- merge (deepCopy $probes.liveness) $handler | toYaml | nindent 2 }}
lifecycle:
  preStop:
    exec:
      command: [/bin/bash, /etc/vllm-multinode/prestop.sh]
{{- end }}
