{{/* Rules on where and when groups run. */}}

{{/*
Problems with scheduling: parts of groups, and the queues of Kueue and Volcano.
Usage: include "vllm-multinode.rules.scheduling" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.scheduling" -}}
{{- $problems := list -}}
{{- $scheduling := .Values.scheduling -}}
{{- $nodes := int .Values.group.nodes -}}
{{- with $scheduling.subGroup -}}
{{- if and .topologyKey (not .size) -}}
{{- $problems = append $problems (dict "key" "scheduling.subGroup.topologyKey" "got" .topologyKey
      "why" "applies to parts of a group, but scheduling.subGroup.size is not set"
      "fix" "Set scheduling.subGroup.size, or use scheduling.topologyKey for whole groups.") -}}
{{- end -}}
{{- if .size -}}
{{- $size := int .size -}}
{{- if or (gt $size $nodes) (and (ne (mod $nodes $size) 0) (ne (mod (sub $nodes 1) $size) 0)) -}}
{{- $problems = append $problems (dict "key" "scheduling.subGroup.size" "got" $size
      "why" (printf "divides neither the %d pods of a group nor its %d workers" $nodes (sub $nodes 1))
      "fix" "Use a divisor of one of the two, or leave it unset.") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $scheduling.topology -}}
{{- $level := .required | default .preferred -}}
{{- $key := printf "scheduling.topology.%s" (ternary "required" "preferred" (not (empty .required))) -}}
{{- if and .required .preferred -}}
{{- $problems = append $problems (dict "key" "scheduling.topology.preferred" "got" .preferred
      "why" "can't be combined with scheduling.topology.required, as Kueue accepts only one of the two"
      "fix" "Remove one of them.") -}}
{{- end -}}
{{- if and $level (not $scheduling.queueName) -}}
{{- $problems = append $problems (dict "key" $key "got" $level
      "why" "is read only by Kueue, but scheduling.queueName is not set"
      "fix" "Set scheduling.queueName, or use scheduling.topologyKey or scheduling.preferredTopologyKey instead.") -}}
{{- end -}}
{{- if and $level $scheduling.topologyKey -}}
{{- $problems = append $problems (dict "key" $key "got" $level
      "why" "lets Kueue choose the nodes, but Kueue does not know which nodes scheduling.topologyKey rules out, so pods may stay Pending"
      "fix" "Remove one of the two.") -}}
{{- end -}}
{{- end -}}
{{- $surge := int .Values.rollout.maxSurge -}}
{{- if and $scheduling.queueName $surge -}}
{{- $problems = append $problems (dict "key" "rollout.maxSurge" "got" $surge
      "why" "can block a rollout while scheduling.queueName is set: Kueue 0.17 and older may never admit the additional group"
      "fix" "Use rollout.maxSurge: 0 and rollout.maxUnavailable: 1.") -}}
{{- end -}}
{{- with $scheduling.volcano -}}
{{- if and .enabled $scheduling.queueName -}}
{{- $problems = append $problems (dict "key" "scheduling.queueName" "got" $scheduling.queueName
      "why" "is a queue of Kueue, but scheduling.volcano.enabled gives the pods to Volcano"
      "fix" "Use scheduling.volcano.queue, or turn one of the two off.") -}}
{{- end -}}
{{- if and .queue (not .enabled) -}}
{{- $problems = append $problems (dict "key" "scheduling.volcano.queue" "got" .queue
      "why" "is a queue of Volcano, but scheduling.volcano.enabled is false"
      "fix" "Set scheduling.volcano.enabled to true, or remove the queue.") -}}
{{- end -}}
{{- if and .enabled (ne ($scheduling.schedulerName | default "volcano") "volcano") -}}
{{- $problems = append $problems (dict "key" "scheduling.schedulerName" "got" $scheduling.schedulerName
      "why" "contradicts scheduling.volcano.enabled, which uses the scheduler volcano"
      "fix" "Leave it unset.") -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
