{{/* Rules on labels and annotations of pods and of the Service. */}}

{{/*
Problems with labels and annotations that something else than the pods must have, or that something else writes.
Sources: constants of LeaderWorkerSet 0.9 (api/leaderworkerset/v1) and of Kueue 0.17 (pkg/controller/constants,
pkg/controller/jobs/pod/constants).
Usage: include "vllm-multinode.rules.metadata" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.metadata" -}}
{{- $problems := list -}}
{{- $elsewhere := dict
      "kueue.x-k8s.io/queue-name" "Set scheduling.queueName instead."
      "kueue.x-k8s.io/priority-class" "Remove it, and label the LeaderWorkerSet."
      "kueue.x-k8s.io/pod-group-name" "Remove it, and set scheduling.queueName."
      "leaderworkerset.sigs.k8s.io/exclusive-topology" "Set scheduling.topologyKey instead."
      "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology" "Set scheduling.subGroup.topologyKey instead."
      "leaderworkerset.sigs.k8s.io/subgroup-size" "Set scheduling.subGroup.size instead."
      "leaderworkerset.sigs.k8s.io/size" "Set group.nodes instead."
      "leaderworkerset.sigs.k8s.io/replicas" "Set group.replicas instead."
      "scheduling.volcano.sh/queue-name" "Set scheduling.volcano.queue instead." -}}
{{- range $where, $entries := dict "podLabels" .Values.podLabels "podAnnotations" .Values.podAnnotations -}}
{{- range $name, $value := $entries -}}
{{- $why := "" -}}
{{- if hasPrefix "leaderworkerset.sigs.k8s.io/" $name -}}
{{- $why = ternary "belongs on the LeaderWorkerSet and not on its pods: no controller reads it on pods" "is written by LeaderWorkerSet itself" (contains "exclusive-topology" $name) -}}
{{- else if and (hasPrefix "kueue.x-k8s.io/" $name) (not (and (eq $where "podAnnotations") (hasPrefix "kueue.x-k8s.io/podset-" $name))) -}}
{{- $why = "belongs on the LeaderWorkerSet and not on its pods: Kueue then manages each pod alone, so that pods stay SchedulingGated" -}}
{{- else if hasKey $elsewhere $name -}}
{{- $why = "belongs on the LeaderWorkerSet and not on its pods" -}}
{{- end -}}
{{- if $why -}}
{{- $problems = append $problems (dict "key" $where "got" $value
      "why" (printf "sets %s, which %s" $name $why)
      "fix" (get $elsewhere $name | default "Remove it.")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $selecting := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "role" -}}
{{- range $name, $value := .Values.podLabels -}}
{{- if has $name $selecting -}}
{{- $problems = append $problems (dict "key" "podLabels" "got" $value
      "why" (printf "sets %s, by which the chart's own objects select the pods" $name)
      "fix" "Use another label.") -}}
{{- else if hasPrefix "prometheus.io/" $name -}}
{{- $problems = append $problems (dict "key" "podLabels" "got" $value
      "why" (printf "sets %s, which Prometheus reads from annotations only" $name)
      "fix" "Enable monitoring.podMonitor, or move it to service.annotations.") -}}
{{- end -}}
{{- end -}}
{{- $servers := include "vllm-multinode.servers" . | fromJson -}}
{{- if and (gt (int .Values.group.nodes) 1) (not $servers.everyPod) (eq (toString (get .Values.podAnnotations "prometheus.io/scrape")) "true") -}}
{{- $problems = append $problems (dict "key" "podAnnotations" "got" "true"
      "why" "sets prometheus.io/scrape on workers as well, which serve no metrics, so that Prometheus reports them as down"
      "fix" "Enable monitoring.podMonitor, or move it to service.annotations, which selects leaders only.") -}}
{{- end -}}
{{- range $where, $entries := dict "podAnnotations" .Values.podAnnotations "service.annotations" .Values.service.annotations -}}
{{- $port := get $entries "prometheus.io/port" -}}
{{- if and $port (ne (toString $port) (toString $.Values.engine.port)) -}}
{{- $problems = append $problems (dict "key" $where "got" $port
      "why" "sets prometheus.io/port, on which the pods serve no metrics"
      "fix" (printf "Use %d, which is engine.port." (int $.Values.engine.port))) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
