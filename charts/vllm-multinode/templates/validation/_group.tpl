{{/* Rules on names, groups and the layout. A message is: key: value why. Fix. */}}

{{/*
Rules on names.
Usage: include "vllm-multinode.rules.names" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.names" -}}
{{- $problems := list -}}
{{- $name := include "vllm-multinode.fullname" . -}}
{{- $service := include "vllm-multinode.serviceName" . -}}
{{- $key := ternary "fullnameOverride" "release" (not (empty .Values.fullnameOverride)) -}}
{{- if not .Values.model.name -}}
{{- $problems = append $problems `model.name: "" is not set. Give a model of the Hugging Face hub, such as deepseek-ai/DeepSeek-R1, or use a file of values/.` -}}
{{- end -}}
{{- if gt (len $name) 45 -}}
{{- $problems = append $problems (printf "%s: %q has %d characters, and LeaderWorkerSet's labels leave 45. Choose a shorter one, or set fullnameOverride." $key $name (len $name)) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $name) -}}
{{- $problems = append $problems (printf "%s: %q is no DNS label, which the group's Service needs. Use small letters, digits and -, and start with a letter." $key $name) -}}
{{- end -}}
{{- if eq $service $name -}}
{{- $problems = append $problems (printf "service.name: %q is the LeaderWorkerSet's name, whose headless Service resolves pods that are not ready. Use another, such as %s-leader." $service $name) -}}
{{- end -}}
{{- if and (eq $service "vllm") (ne $service $name) -}}
{{- $problems = append $problems `service.name: "vllm" makes Kubernetes set VLLM_PORT=tcp://… in every pod of the namespace, which breaks vLLM. Use another, such as vllm-leader.` -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}

{{/*
Rules on the group, its start, its restart and its rollout.
Usage: include "vllm-multinode.rules.group" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.group" -}}
{{- $problems := list -}}
{{- $values := .Values -}}
{{- $group := $values.group -}}
{{- if ne $group.startupPolicy "LeaderCreated" -}}
{{- $problems = append $problems (printf "group.startupPolicy: %q makes workers when the leader is ready, and the leader is ready when it has its workers. Use LeaderCreated." $group.startupPolicy) -}}
{{- end -}}
{{- if not (has $group.restartPolicy (list "RecreateGroupAfterStart" "RecreateGroupOnPodRestart")) -}}
{{- $problems = append $problems (printf "group.restartPolicy: %q leaves the rest of a group running when one of its pods ended, and all wait for ever. Use RecreateGroupAfterStart, or RecreateGroupOnPodRestart with LeaderWorkerSet before 0.9." $group.restartPolicy) -}}
{{- end -}}
{{- with $values.rollout -}}
{{- if not (or .maxUnavailable .maxSurge) -}}
{{- $problems = append $problems "rollout.maxUnavailable: 0 together with maxSurge 0 lets no group be replaced. Set one of the two to 1." -}}
{{- end -}}
{{- end -}}
{{- $needed := add $values.shutdown.preStopSeconds $values.shutdown.drainSeconds 15 -}}
{{- $grace := $values.shutdown.gracePeriodSeconds -}}
{{- if and $grace (lt (int $grace) (int $needed)) -}}
{{- $problems = append $problems (printf "shutdown.gracePeriodSeconds: %d ends before preStopSeconds and drainSeconds have passed and vLLM has stopped. Use at least %d, or leave it unset." (int $grace) $needed) -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}

{{/*
Rules on the layout: what is asked for must fill the group, and each data-parallel rank must fit in a node.
Usage: include "vllm-multinode.rules.layout" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.layout" -}}
{{- $problems := list -}}
{{- $group := .Values.group -}}
{{- $asked := .Values.parallelism -}}
{{- $layout := include "vllm-multinode.layout" . | fromJson -}}
{{- $shape := printf "tensor %d x pipeline %d x data %d" (int $layout.tensor) (int $layout.pipeline) (int $layout.data) -}}
{{- $have := printf "%d nodes x %d GPUs" (int $group.nodes) (int $group.gpusPerNode) -}}
{{- $key := ternary "parallelism.tensor" (ternary "parallelism.pipeline" "parallelism.data" (not (empty $asked.pipeline))) (not (empty $asked.tensor)) -}}
{{- $value := int (ternary $layout.tensor (ternary $layout.pipeline $layout.data (not (empty $asked.pipeline))) (not (empty $asked.tensor))) -}}
{{- if ne (int $layout.ranks) (int $layout.gpus) -}}
{{- $problems = append $problems (printf "%s: %d makes %s = %d ranks, and %s = %d. Make both products equal, or leave tensor and pipeline unset." $key $value $shape (int $layout.ranks) $have (int $layout.gpus)) -}}
{{- else if and (gt (int $layout.data) 1) (gt (int $group.nodes) 1) (ne (mod $layout.data $group.nodes) 0) -}}
{{- $problems = append $problems (printf "parallelism.data: %d ranks can't be spread evenly over %d nodes, and none may span two. Use a multiple of %d." (int $layout.data) (int $group.nodes) (int $group.nodes)) -}}
{{- end -}}
{{- with $asked.decodeContext -}}
{{- if ne (mod $layout.tensor .) 0 -}}
{{- $problems = append $problems (printf "parallelism.decodeContext: %d does not divide the %d ranks of tensor parallelism. Use a divisor of %d." (int .) (int $layout.tensor) (int $layout.tensor)) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
