{{/* Rules on where and when groups run. A message is: key: value why. Fix. */}}

{{/*
Rules on parts of groups, and on Kueue's and Volcano's queues.
Usage: include "vllm-multinode.rules.scheduling" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.scheduling" -}}
{{- $problems := list -}}
{{- $scheduling := .Values.scheduling -}}
{{- $nodes := int .Values.group.nodes -}}
{{- with $scheduling.subGroup -}}
{{- $size := int .size -}}
{{- if and .topologyKey (not .size) -}}
{{- $problems = append $problems (printf "scheduling.subGroup.topologyKey: %q is for parts of a group, and size does not say how large they are. Set scheduling.subGroup.size, or use scheduling.topologyKey for whole groups." .topologyKey) -}}
{{- end -}}
{{- if .size -}}
{{- if or (gt $size $nodes) (and (ne (mod $nodes $size) 0) (ne (mod (sub $nodes 1) $size) 0)) -}}
{{- $problems = append $problems (printf "scheduling.subGroup.size: %d cuts neither the %d pods of a group nor its %d workers into equal parts. Use a divisor of one of the two, or leave it unset." $size $nodes (sub $nodes 1)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $scheduling.topology -}}
{{- $level := .required | default .preferred -}}
{{- $key := printf "scheduling.topology.%s" (ternary "required" "preferred" (not (empty .required))) -}}
{{- if and .required .preferred -}}
{{- $problems = append $problems (printf "scheduling.topology.preferred: %q is given together with required, and Kueue takes one of the two. Leave one out." .preferred) -}}
{{- end -}}
{{- if and $level (not $scheduling.queueName) -}}
{{- $problems = append $problems (printf "%s: %q is read by Kueue, which looks at what is in its queues only. Set scheduling.queueName, or use scheduling.topologyKey or preferredTopologyKey." $key $level) -}}
{{- end -}}
{{- if and $level $scheduling.topologyKey -}}
{{- $problems = append $problems (printf "%s: %q lets Kueue choose the nodes, which does not see that scheduling.topologyKey keeps other groups out, and the pods may stay pending. Leave one of the two out." $key $level) -}}
{{- end -}}
{{- end -}}
{{- $surge := int .Values.rollout.maxSurge -}}
{{- if and $scheduling.queueName $surge -}}
{{- $problems = append $problems (printf "rollout.maxSurge: %d may never come to its end with scheduling.queueName: Kueue up to 0.17 can leave the group more without a place. Use rollout.maxSurge: 0 and maxUnavailable: 1." $surge) -}}
{{- end -}}
{{- with $scheduling.volcano -}}
{{- if and .enabled $scheduling.queueName -}}
{{- $problems = append $problems (printf "scheduling.queueName: %q is Kueue's, and scheduling.volcano.enabled gives the pods to Volcano, which has queues of its own. Use scheduling.volcano.queue, or disable one of the two." $scheduling.queueName) -}}
{{- end -}}
{{- if and .queue (not .enabled) -}}
{{- $problems = append $problems (printf "scheduling.volcano.queue: %q is Volcano's, and scheduling.volcano.enabled is false. Set it true, or leave the queue out." .queue) -}}
{{- end -}}
{{- if and .enabled (ne ($scheduling.schedulerName | default "volcano") "volcano") -}}
{{- $problems = append $problems (printf "scheduling.schedulerName: %q is not Volcano, which scheduling.volcano.enabled asks for. Leave it unset." $scheduling.schedulerName) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
