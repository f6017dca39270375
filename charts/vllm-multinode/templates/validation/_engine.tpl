{{/* Rules on the engine and its image. */}}

{{/*
Problems with the engine: its backend and ports, and flags and variables that other values already set.
Usage: include "vllm-multinode.rules.engine" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.engine" -}}
{{- $problems := list -}}
{{- $values := .Values -}}
{{- $owners := dict
      "model" "model.name" "served-model-name" "model.servedName" "revision" "model.revision"
      "max-model-len" "model.maxLength" "dtype" "model.dtype" "quantization" "model.quantization"
      "trust-remote-code" "model.trustRemoteCode" "port" "engine.port" "tensor-parallel-size" "parallelism.tensor"
      "pipeline-parallel-size" "parallelism.pipeline" "data-parallel-size" "parallelism.data"
      "data-parallel-hybrid-lb" "parallelism.dataLoadBalancer" "data-parallel-external-lb" "parallelism.dataLoadBalancer"
      "data-parallel-multi-port-external-lb" "parallelism.dataLoadBalancer" "data-parallel-supervisor-port" "engine.supervisorPort"
      "enable-expert-parallel" "parallelism.expert" "decode-context-parallel-size" "parallelism.decodeContext"
      "kv-offloading-size" "kvCache.offloadingSizePerGpu"
      "shutdown-timeout" "shutdown.drainSeconds" "distributed-executor-backend" "engine.backend"
      "nnodes" "group.nodes" "master-port" "engine.masterPort" "data-parallel-rpc-port" "engine.masterPort"
      "api-key" "auth.apiKey.existingSecret" "otlp-traces-endpoint" "tracing.endpoint"
      "collect-detailed-traces" "tracing.detail" "enable-log-requests" "logging.requests"
      "logging-config" "logging.format" -}}
{{- if $values.engine.speculativeTokens -}}
{{- $owners = merge $owners (dict "speculative-config" "engine.speculativeTokens" "spec-method" "engine.speculativeTokens"
      "spec-model" "engine.speculativeTokens" "spec-tokens" "engine.speculativeTokens") -}}
{{- end -}}
{{- $perPod := list "node-rank" "master-addr" "headless" "data-parallel-size-local" "data-parallel-address" "data-parallel-start-rank" "data-parallel-rank" "data-parallel-backend" -}}
{{- range $flag, $value := $values.engine.args -}}
{{- $problem := dict "key" (printf "engine.args.%s" $flag) "got" $value -}}
{{- range $owned, $owner := $owners -}}
{{- if and (hasPrefix $flag $owned) (ne $flag $owned) (not (hasKey $owners $flag)) -}}
{{- $problems = append $problems (merge (dict
      "why" (printf "is read as --%s, because vLLM completes abbreviated flags" $owned)
      "fix" (printf "Set %s instead." $owner)) $problem) -}}
{{- end -}}
{{- end -}}
{{- $base := splitList "." $flag | first -}}{{- /* vLLM reads --flag.key VALUE as a part of --flag's JSON */ -}}
{{- if not (regexMatch "^[a-z][a-z0-9]*(-[a-z0-9]+)*([.][A-Za-z0-9_-]+)*[+]?$" $flag) -}}
{{- $problems = append $problems (merge (dict
      "why" "is not a flag of `vllm serve` without its dashes"
      "fix" (printf "Write %s." ($flag | replace "_" "-" | trimPrefix "--" | kebabcase))) $problem) -}}
{{- else if hasKey $owners $base -}}
{{- $problems = append $problems (merge (dict
      "why" "sets a flag that the chart sets already"
      "fix" (printf "Set %s instead." (get $owners $base))) $problem) -}}
{{- else if has $base $perPod -}}
{{- $problems = append $problems (merge (dict
      "why" "sets a flag that differs between pods and is added by the start script"
      "fix" "Remove it.") $problem) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $values.engine.env -}}
{{- if or (hasPrefix "MULTINODE_" $name) (hasPrefix "LWS_" $name) (eq $name "VLLM_HOST_IP") -}}
{{- $problems = append $problems (dict "key" (printf "engine.env.%s" $name) "got" $value
      "why" "overrides a variable that the start script relies on"
      "fix" "Remove it.") -}}
{{- end -}}
{{- end -}}
{{- if eq $values.engine.backend "ray" -}}
{{- if eq (int $values.group.nodes) 1 -}}
{{- $problems = append $problems (dict "key" "engine.backend" "got" "ray"
      "why" "has no other nodes to start ranks on in a group of one node"
      "fix" "Use mp.") -}}
{{- end -}}
{{- if gt (int $values.parallelism.data) 1 -}}
{{- $problems = append $problems (dict "key" "engine.backend" "got" "ray"
      "why" "can't be combined with parallelism.data above 1 in this chart"
      "fix" "Use mp.") -}}
{{- end -}}
{{- end -}}
{{- if eq ($values.image.tag | default "") "latest" -}}
{{- $problems = append $problems (dict "key" "image.tag" "got" "latest"
      "why" "can change while groups run, so that the leader and the workers get different versions"
      "fix" "Use a version, such as v0.33.0, or set image.digest.") -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
