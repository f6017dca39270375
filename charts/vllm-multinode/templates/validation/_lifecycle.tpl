{{/* Rules on rollouts, on the end of pods, and on limits for what hangs. */}}

{{/*
Problems with rollout, shutdown, and probes.
Usage: include "vllm-multinode.rules.lifecycle" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.lifecycle" -}}
{{- $problems := list -}}
{{- with .Values.rollout -}}
{{- if not (or .maxUnavailable .maxSurge) -}}
{{- $problems = append $problems (dict "key" "rollout.maxUnavailable" "got" .maxUnavailable
      "why" "can't be 0 together with rollout.maxSurge, as a rollout could then replace no group"
      "fix" "Set one of the two to 1.") -}}
{{- end -}}
{{- end -}}
{{- $shutdown := .Values.shutdown -}}
{{- $needed := add $shutdown.preStopSeconds $shutdown.drainSeconds 15 -}}
{{- $grace := $shutdown.gracePeriodSeconds -}}
{{- if and $grace (lt (int $grace) (int $needed)) -}}
{{- $problems = append $problems (dict "key" "shutdown.gracePeriodSeconds" "got" $grace
      "why" "kills pods before preStopSeconds and drainSeconds have passed and vLLM has stopped"
      "fix" (printf "Use at least %d, or leave it unset." $needed)) -}}
{{- end -}}
{{- $stalled := .Values.probes.stalledSeconds -}}
{{- $step := .Values.probes.stepSeconds | toString -}}
{{- $source := "probes.stepSeconds is" -}}
{{- with index .Values.engine.env "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS" -}}
{{- $step = . -}}
{{- $source = "engine.env sets VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS to" -}}
{{- end -}}
{{- if and $stalled (le (int $stalled) (int $step)) -}}
{{- $problems = append $problems (dict "key" "probes.stalledSeconds" "got" $stalled
      "why" (printf "ends a step for which vLLM waits longer: %s %s" $source $step)
      "fix" (printf "Use at least %d, or null." (add (int $step) 10))) -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
