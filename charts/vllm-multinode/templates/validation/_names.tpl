{{/* Rules on the names of the release, the model, and the Service. */}}

{{/*
Problems with names.
Usage: include "vllm-multinode.rules.names" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.names" -}}
{{- $problems := list -}}
{{- $name := include "vllm-multinode.fullname" . -}}
{{- $service := include "vllm-multinode.serviceName" . -}}
{{- $key := ternary "fullnameOverride" "release" (not (empty .Values.fullnameOverride)) -}}
{{- if not .Values.model.name -}}
{{- $problems = append $problems (dict "key" "model.name" "got" .Values.model.name
      "why" "is required"
      "fix" "Set the name of a model on the Hugging Face Hub, such as deepseek-ai/DeepSeek-R1, or use a preset of values/.") -}}
{{- end -}}
{{- if gt (len $name) 45 -}}
{{- $problems = append $problems (dict "key" $key "got" $name
      "why" (printf "has %d characters, but LeaderWorkerSet's labels allow only 45" (len $name))
      "fix" "Use a shorter name, or set fullnameOverride.") -}}
{{- end -}}
{{- if and .Values.scheduling.queueName (le (len $name) 45) -}}
{{- $groups := ternary .Values.autoscaling.maxReplicas .Values.group.replicas (not (empty .Values.autoscaling.type)) | default 100 -}}
{{- $most := sub 40 (len (sub $groups 1 | toString)) | int -}}
{{- if and (gt (len $name) $most) (not (include "vllm-multinode.installed" . | fromJson)) -}}
{{- $problems = append $problems (dict "key" $key "got" $name
      "why" (printf "has %d characters, but with scheduling.queueName and up to %v groups only %d are safe: Kueue 0.17 and older labels pods with leaderworkerset-NAME-GROUP-HASH, and never admits them when that is too long for a label" (len $name) $groups $most)
      "fix" "Use a shorter name, or set fullnameOverride.") -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $name) -}}
{{- $problems = append $problems (dict "key" $key "got" $name
      "why" "is not a DNS label, which the group's headless Service requires"
      "fix" "Use lowercase letters, digits, and hyphens, and start with a letter.") -}}
{{- end -}}
{{- if eq $service $name -}}
{{- $problems = append $problems (dict "key" "service.name" "got" $service
      "why" "is the name of the LeaderWorkerSet and of its headless Service, which resolves pods that are not ready"
      "fix" (printf "Use another name, such as %s-leader." $service)) -}}
{{- end -}}
{{- if and (eq $service "vllm") (ne $service $name) -}}
{{- $problems = append $problems (dict "key" "service.name" "got" $service
      "why" "makes Kubernetes set VLLM_PORT=tcp://… in every pod of the namespace, which vLLM reads as its own setting"
      "fix" "Use another name, such as vllm-leader.") -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
