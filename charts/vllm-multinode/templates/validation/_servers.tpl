{{/* Rules on the API servers and their ports. */}}

{{/*
Problems with parallelism.dataLoadBalancer: it must have something to choose from, and nothing else may use the ports.
Usage: include "vllm-multinode.rules.servers" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.servers" -}}
{{- $problems := list -}}
{{- $values := .Values -}}
{{- $layout := include "vllm-multinode.layout" . | fromJson -}}
{{- $servers := include "vllm-multinode.servers" . | fromJson -}}
{{- $balancer := $values.parallelism.dataLoadBalancer -}}
{{- $problem := dict "key" "parallelism.dataLoadBalancer" "got" $balancer -}}
{{- if and $servers.everyPod (eq (int $layout.data) 1) -}}
{{- $problems = append $problems (merge (dict
      "why" "has no data-parallel replicas to choose from, as parallelism.data is 1"
      "fix" "Use internal, or set parallelism.data.") $problem) -}}
{{- else if and (eq $balancer "hybrid") (eq (int $values.group.nodes) 1) -}}
{{- $problems = append $problems (merge (dict
      "why" "lets the Service choose a node, but group.nodes is 1, and vLLM then uses its internal load balancer"
      "fix" "Use internal, or external for a port per replica.") $problem) -}}
{{- else if and (eq $balancer "hybrid") (eq (int $layout.dataLocal) 1) -}}
{{- $problems = append $problems (merge (dict
      "why" "lets vLLM choose a replica of a node, but each node has only one, and vLLM then switches to an external load balancer"
      "fix" "Use external.") $problem) -}}
{{- end -}}
{{- if $servers.supervised -}}
{{- range $flag := list "uds" "grpc" "grpc-port" "api-server-count" -}}
{{- $value := get $values.engine.args $flag -}}
{{- if and $value (ne (toString $value) (ternary "1" "" (eq $flag "api-server-count"))) -}}
{{- $problems = append $problems (dict "key" (printf "engine.args.%s" $flag) "got" $value
      "why" "is refused by vLLM if each data-parallel replica has its own port"
      "fix" "Remove it, or set parallelism.dataLoadBalancer to internal or hybrid.") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $count := len $servers.ports -}}
{{- range $key, $first := dict "engine.port" $values.engine.port "service.port" $values.service.port -}}
{{- if gt (add $first $count -1) 65535 -}}
{{- $problems = append $problems (dict "key" $key "got" $first
      "why" (printf "leaves no room for the ports of %d data-parallel replicas, as the last port is 65535" $count)
      "fix" (printf "Use at most %d." (sub 65536 $count))) -}}
{{- end -}}
{{- end -}}
{{- $engine := $values.engine -}}
{{- $used := printf "is one of the ports %d to %d of the data-parallel replicas" (int $engine.port) (add $engine.port $count -1) -}}
{{- range $key, $default := dict "masterPort" 29501 "supervisorPort" 9256 -}}
{{- $port := int (get $engine $key) -}}
{{- $counts := or $servers.supervised (eq $key "masterPort") -}}
{{- if and $counts (ge $port (int $engine.port)) (lt $port (add $engine.port $count | int)) -}}
{{- $problems = append $problems (dict "key" (printf "engine.%s" $key) "got" $port
      "why" (ternary $used "must differ from engine.port" (gt $count 1))
      "fix" (printf "Use another port, such as %d." $default)) -}}
{{- end -}}
{{- end -}}
{{- if and $servers.supervised (eq (int $engine.supervisorPort) (int $engine.masterPort)) -}}
{{- $problems = append $problems (dict "key" "engine.supervisorPort" "got" $engine.supervisorPort
      "why" "must differ from engine.masterPort"
      "fix" "Use another port, such as 9256.") -}}
{{- end -}}
{{- if and $values.routing.inferencePool.endpointPicker (gt $count 8) -}}
{{- $problems = append $problems (dict "key" "routing.inferencePool.endpointPicker" "got" $values.routing.inferencePool.endpointPicker
      "why" (printf "needs an InferencePool with the ports of %d data-parallel replicas per node, but version v1 allows 8" $count)
      "fix" "Use fewer replicas with more tensor parallelism, or parallelism.dataLoadBalancer: hybrid.") -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
