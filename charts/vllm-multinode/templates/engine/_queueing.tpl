{{/* What LeaderWorkerSet, Kueue and Volcano are told about where and when groups run. */}}

{{/*
Labels of the LeaderWorkerSet: Kueue's queue.
Usage: include "vllm-multinode.groupLabels" . | fromYaml
Returns: YAML, a map, empty without a queue.
*/}}
{{- define "vllm-multinode.groupLabels" -}}
{{- with .Values.scheduling.queueName -}}
kueue.x-k8s.io/queue-name: {{ . }}
{{- end -}}
{{- end }}

{{/*
Annotations of the LeaderWorkerSet: domains of groups and of their parts, and Volcano's queue.
Usage: include "vllm-multinode.groupAnnotations" . | fromYaml
Returns: YAML, a map, empty when there is nothing to say.
*/}}
{{- define "vllm-multinode.groupAnnotations" -}}
{{- $scheduling := .Values.scheduling -}}
{{- with $scheduling.topologyKey }}
leaderworkerset.sigs.k8s.io/exclusive-topology: {{ . }}
{{- end }}
{{- with $scheduling.subGroup.topologyKey }}
leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology: {{ . }}
{{- end }}
{{- with $scheduling.volcano.queue }}
scheduling.volcano.sh/queue-name: {{ . }}
{{- end }}
{{- end }}

{{/*
Annotations of the pods for Kueue: the domain of a group. Leader and workers are two sets of pods for Kueue, which it
places apart unless both name the same group of sets. A group of one pod is in one domain anyway.
Usage: include "vllm-multinode.topologyAnnotations" . | fromYaml
Returns: YAML, a map, empty without a topology.
*/}}
{{- define "vllm-multinode.topologyAnnotations" -}}
{{- if gt (int .Values.group.nodes) 1 -}}
{{- range $strength, $level := .Values.scheduling.topology -}}
{{- if $level }}
kueue.x-k8s.io/podset-{{ $strength }}-topology: {{ $level }}
kueue.x-k8s.io/podset-group-name: group
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
