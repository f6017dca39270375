{{/* Rules on the engine. A message is: key: value why. Fix. */}}

{{/*
Rules on the engine: its backend, and the flags and variables that other values stand for.
Usage: include "vllm-multinode.rules.engine" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.engine" -}}
{{- $problems := list -}}
{{- $values := .Values -}}
{{- $owners := dict
      "model" "model.name" "served-model-name" "model.servedName" "revision" "model.revision"
      "max-model-len" "model.maxLength" "dtype" "model.dtype" "quantization" "model.quantization"
      "trust-remote-code" "model.trustRemoteCode" "port" "engine.port" "tensor-parallel-size" "parallelism.tensor"
      "pipeline-parallel-size" "parallelism.pipeline" "data-parallel-size" "parallelism.data"
      "enable-expert-parallel" "parallelism.expert" "decode-context-parallel-size" "parallelism.decodeContext"
      "shutdown-timeout" "shutdown.drainSeconds" "distributed-executor-backend" "engine.backend"
      "nnodes" "group.nodes" "master-port" "engine.masterPort" "data-parallel-rpc-port" "engine.masterPort"
      "api-key" "auth.apiKey.existingSecret" "otlp-traces-endpoint" "tracing.endpoint"
      "collect-detailed-traces" "tracing.detail" "enable-log-requests" "logging.requests"
      "logging-config" "logging.format" -}}
{{- $added := list "node-rank" "master-addr" "headless" "data-parallel-size-local" "data-parallel-address" "data-parallel-start-rank" "data-parallel-rank" "data-parallel-backend" -}}
{{- range $flag, $value := $values.engine.args -}}
{{- range $owned, $owner := $owners -}}
{{- if and (hasPrefix $flag $owned) (ne $flag $owned) (not (hasKey $owners $flag)) -}}
{{- $problems = append $problems (printf "engine.args.%s: %s would be taken for --%s, as vLLM completes flags. Set %s instead." $flag (toJson $value) $owned $owner) -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^[a-z][a-z0-9]*(-[a-z0-9]+)*$" $flag) -}}
{{- $problems = append $problems (printf "engine.args.%s: %s is under a key that is no flag of vllm serve without its dashes. Write %s." $flag (toJson $value) ($flag | replace "_" "-" | trimPrefix "--" | kebabcase)) -}}
{{- else if hasKey $owners $flag -}}
{{- $problems = append $problems (printf "engine.args.%s: %s would be given twice. Set %s instead." $flag (toJson $value) (get $owners $flag)) -}}
{{- else if has $flag $added -}}
{{- $problems = append $problems (printf "engine.args.%s: %s differs from pod to pod and is added by the start script. Leave it out." $flag (toJson $value)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $values.engine.env -}}
{{- if or (hasPrefix "MULTINODE_" $name) (hasPrefix "LWS_" $name) (eq $name "VLLM_HOST_IP") -}}
{{- $problems = append $problems (printf "engine.env.%s: %q would mislead the start script, which relies on it. Leave it out." $name $value) -}}
{{- end -}}
{{- end -}}
{{- if eq $values.engine.backend "ray" -}}
{{- if eq (int $values.group.nodes) 1 -}}
{{- $problems = append $problems "engine.backend: ray has nothing to do in a group of one node. Use mp." -}}
{{- end -}}
{{- if gt (int $values.parallelism.data) 1 -}}
{{- $problems = append $problems "engine.backend: ray is not supported here together with parallelism.data above 1. Use mp." -}}
{{- end -}}
{{- end -}}
{{- if eq (int $values.engine.masterPort) (int $values.engine.port) -}}
{{- $problems = append $problems (printf "engine.masterPort: %d is engine.port as well. Use another, such as 29501." (int $values.engine.port)) -}}
{{- end -}}
{{- if eq ($values.image.tag | default "") "latest" -}}
{{- $problems = append $problems "image.tag: latest changes under running groups, and leader and workers may get different versions. Use a version, such as v0.32.0, or image.digest." -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
