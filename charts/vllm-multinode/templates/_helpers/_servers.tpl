{{/* The API servers of a group: which pods have one, and on which ports. */}}

{{/*
The API servers. With parallelism.dataLoadBalancer internal, only the leader has one. With hybrid, each pod has one, for
the data-parallel replicas of its node. With external, each replica has one; if a pod has several replicas, their ports
follow each other, and a supervisor of vLLM answers probes for all of them.
Usage: include "vllm-multinode.servers" . | fromJson
Returns: JSON {everyPod, supervised, ports: [{name, number, service (port of the Service)}] of each pod, health: {name,
number} for probes}.
*/}}
{{- define "vllm-multinode.servers" -}}
{{- $layout := include "vllm-multinode.layout" . | fromJson -}}
{{- $engine := .Values.engine -}}
{{- $balancer := .Values.parallelism.dataLoadBalancer -}}
{{- $supervised := and (eq $balancer "external") (gt (int $layout.dataLocal) 1) -}}
{{- $ports := list -}}
{{- range $index := until (int (ternary $layout.dataLocal 1 $supervised)) -}}
{{- $ports = append $ports (dict "name" (ternary (printf "http-%d" $index) "http" (gt $index 0))
      "number" (add $engine.port $index) "service" (add $.Values.service.port $index)) -}}
{{- end -}}
{{- $health := ternary (dict "name" "health" "number" $engine.supervisorPort) (first $ports) $supervised -}}
{{- dict "everyPod" (ne $balancer "internal") "supervised" $supervised "ports" $ports "health" $health | toJson -}}
{{- end }}

{{/*
Labels that select the pods with an API server.
Usage: include "vllm-multinode.serverLabels" . | nindent 4
Returns: YAML, a map.
*/}}
{{- define "vllm-multinode.serverLabels" -}}
{{- $servers := include "vllm-multinode.servers" . | fromJson -}}
leaderworkerset.sigs.k8s.io/name: {{ include "vllm-multinode.fullname" . }}
{{- if not $servers.everyPod }}
leaderworkerset.sigs.k8s.io/worker-index: "0"
{{- end }}
{{- end }}

{{/*
The ports of the API servers, for a NetworkPolicy.
Usage: include "vllm-multinode.serverPortRange" . | nindent 8
Returns: YAML, a list with one item.
*/}}
{{- define "vllm-multinode.serverPortRange" -}}
{{- $ports := (include "vllm-multinode.servers" . | fromJson).ports -}}
- port: {{ (first $ports).number }}
  {{- if gt (len $ports) 1 }}
  endPort: {{ (last $ports).number }}
  {{- end }}
{{- end }}
