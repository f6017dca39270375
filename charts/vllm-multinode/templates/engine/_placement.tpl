{{/* Where and when groups run: affinities, schedulers, and the annotations that LeaderWorkerSet, Kueue, and Volcano read. */}}

{{/*
Placement of both roles. Each node runs at most one pod of a group, as a pod takes whole GPUs and their RDMA devices.
Usage: include "vllm-multinode.placement" (dict "root" $ "fabric" $fabric) | nindent 2
Returns: YAML, fields of a pod's spec.
*/}}
{{- define "vllm-multinode.placement" -}}
{{- $scheduling := .root.Values.scheduling -}}
{{- $group := dict
      "topologyKey" "kubernetes.io/hostname"
      "labelSelector" (dict "matchLabels" (dict "leaderworkerset.sigs.k8s.io/name" (include "vllm-multinode.fullname" .root)))
      "matchLabelKeys" (list "leaderworkerset.sigs.k8s.io/group-index") -}}
{{- $affinity := dict "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $group)) -}}
{{- $near := dict -}}
{{- with $scheduling.preferredTopologyKey -}}
{{- $term := dict "weight" 100 "podAffinityTerm" (merge (dict "topologyKey" .) $group) -}}
{{- $_ := set $near "preferredDuringSchedulingIgnoredDuringExecution" (list $term) -}}
{{- end -}}
{{- if .fabric.computeDomain -}}
{{- $clique := merge (dict "topologyKey" "nvidia.com/gpu.clique") $group -}}
{{- $_ := set $near "requiredDuringSchedulingIgnoredDuringExecution" (list $clique) -}}
{{- end -}}
{{- with $near -}}
{{- $_ := set $affinity "podAffinity" . -}}
{{- end -}}
affinity:
  {{- mergeOverwrite $affinity $scheduling.affinity | toYaml | nindent 2 }}
{{ include "vllm-multinode.nodes" .root }}
{{- range $field := list "priorityClassName" "runtimeClassName" }}
{{- with index $scheduling $field }}
{{ $field }}: {{ . }}
{{- end }}
{{- end }}
{{- with $scheduling.schedulerName | default (ternary "volcano" "" $scheduling.volcano.enabled) }}
schedulerName: {{ . }}
{{- end }}
{{- end }}

{{/*
Annotations of the LeaderWorkerSet: the topology domains of groups and of their parts, and Volcano's queue.
Usage: include "vllm-multinode.groupAnnotations" . | fromJson
Returns: JSON, a map of strings.
*/}}
{{- define "vllm-multinode.groupAnnotations" -}}
{{- $scheduling := .Values.scheduling -}}
{{- $annotations := dict -}}
{{- range $name, $value := dict
      "leaderworkerset.sigs.k8s.io/exclusive-topology" $scheduling.topologyKey
      "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology" $scheduling.subGroup.topologyKey
      "scheduling.volcano.sh/queue-name" $scheduling.volcano.queue -}}
{{- if $value -}}
{{- $_ := set $annotations $name $value -}}
{{- end -}}
{{- end -}}
{{- toJson $annotations -}}
{{- end }}

{{/*
Annotations of the pods that tell Kueue the topology domain of a group. For Kueue, the leader and the workers are two
sets of pods, which it places independently unless both name the same group of sets. One pod alone is in one domain
anyway.
Usage: include "vllm-multinode.topologyAnnotations" . | fromJson
Returns: JSON, a map of strings.
*/}}
{{- define "vllm-multinode.topologyAnnotations" -}}
{{- $annotations := dict -}}
{{- range $strength, $level := .Values.scheduling.topology -}}
{{- if and $level (gt (int $.Values.group.nodes) 1) -}}
{{- $_ := set $annotations (printf "kueue.x-k8s.io/podset-%s-topology" $strength) $level -}}
{{- $_ := set $annotations "kueue.x-k8s.io/podset-group-name" "group" -}}
{{- end -}}
{{- end -}}
{{- toJson $annotations -}}
{{- end }}
