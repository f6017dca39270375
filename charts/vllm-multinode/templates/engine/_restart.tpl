{{/* Restarts in place (group.inPlaceRestart): what PID 1, its variables, and the probes are then. */}}

{{/*
The command of vLLM's container. With restarts in place, PID 1 starts the script that would be PID 1 otherwise.
Usage: include "vllm-multinode.command" (dict "root" $ "fabric" $fabric)
Returns: YAML, a list.
*/}}
{{- define "vllm-multinode.command" -}}
{{- if .root.Values.group.inPlaceRestart.enabled -}}
[python3, -B, /etc/vllm-multinode/restart.py]
{{- else -}}
[/bin/bash, {{ include "vllm-multinode.entrypoint" . }}]
{{- end -}}
{{- end }}

{{/*
The script that starts the engine.
Usage: include "vllm-multinode.entrypoint" (dict "fabric" $fabric)
Returns: its path.
*/}}
{{- define "vllm-multinode.entrypoint" -}}
/etc/vllm-multinode/{{ ternary "fabric" "entrypoint" .fabric.wrapped }}.sh
{{- end }}

{{/*
Variables of the program that restarts engines.
Usage: include "vllm-multinode.restartEnvironment" (dict "root" $ "fabric" $fabric) | fromJson
Returns: JSON, a map, empty without restarts in place.
*/}}
{{- define "vllm-multinode.restartEnvironment" -}}
{{- $env := dict -}}
{{- with .root.Values.group.inPlaceRestart -}}
{{- if .enabled -}}
{{- $env = dict
      "MULTINODE_ENTRYPOINT" (include "vllm-multinode.entrypoint" $)
      "MULTINODE_RESTARTS" .maxRestarts
      "MULTINODE_RESTART_WINDOW_SECONDS" .windowSeconds
      "MULTINODE_STARTUP_SECONDS" (include "vllm-multinode.startupSeconds" $.root) -}}
{{- if .keepWeights -}}
{{- $_ := set $env "MULTINODE_KEEP_WEIGHTS" "yes" -}}
{{- end -}}
{{- if .standby -}}
{{- $_ := set $env "MULTINODE_KEEP_STANDBY" "yes" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $env -}}
{{- end }}

{{/*
The probes of either role. Readiness must be false as soon as a restart begins, so the kubelet asks every second and
believes one answer; the script itself waits for as many failures as probes.readiness says.
Usage: include "vllm-multinode.restartProbes" (dict "startup" $startup "probes" $probes)
Returns: YAML, fields of a container.
*/}}
{{- define "vllm-multinode.restartProbes" -}}
{{- $readiness := .probes.readiness -}}
{{- $patience := mul $readiness.periodSeconds (sub $readiness.failureThreshold 1) -}}
{{- $often := merge (dict "periodSeconds" 1 "failureThreshold" 1) $readiness -}}
{{- range $name, $probe := dict "startup" .startup "readiness" $often "liveness" .probes.liveness -}}
{{- $words := list $name $probe.timeoutSeconds (ternary $patience "" (eq $name "readiness")) -}}
{{- $limit := add $probe.timeoutSeconds 5 }}{{- /* for the script itself, on a busy node */}}
{{ $name }}Probe:
  exec:
    command: {{ printf "/bin/bash /etc/vllm-multinode/restart-probe.sh %s" ($words | join " " | trim) | splitList " " | toJson }}
  {{- merge (dict "timeoutSeconds" $limit) $probe | toYaml | nindent 2 }}
{{- end -}}
{{- end }}
