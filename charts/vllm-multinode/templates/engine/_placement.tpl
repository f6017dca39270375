{{/* Where pods run. */}}

{{/*
Placement of both roles. One pod of a group per node, as each takes whole GPUs and its own RDMA devices; pods leave a
lost node soon, as requests hang until they do.
Usage: include "vllm-multinode.placement" . | nindent 2
Returns: YAML, fields of a pod's spec.
*/}}
{{- define "vllm-multinode.placement" -}}
{{- $scheduling := .Values.scheduling -}}
{{- $group := dict
      "topologyKey" "kubernetes.io/hostname"
      "labelSelector" (dict "matchLabels" (dict "leaderworkerset.sigs.k8s.io/name" (include "vllm-multinode.fullname" .)))
      "matchLabelKeys" (list "leaderworkerset.sigs.k8s.io/group-index") -}}
{{- $affinity := dict "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $group)) -}}
{{- $near := dict -}}
{{- with $scheduling.preferredTopologyKey -}}
{{- $term := dict "weight" 100 "podAffinityTerm" (merge (dict "topologyKey" .) $group) -}}
{{- $_ := set $near "preferredDuringSchedulingIgnoredDuringExecution" (list $term) -}}
{{- end -}}
{{- if (include "vllm-multinode.fabric" . | fromJson).computeDomain -}}
{{- $domain := merge (dict "topologyKey" "nvidia.com/gpu.clique") $group -}}
{{- $_ := set $near "requiredDuringSchedulingIgnoredDuringExecution" (list $domain) -}}
{{- end -}}
{{- with $near -}}
{{- $_ := set $affinity "podAffinity" . -}}
{{- end -}}
affinity:
  {{- mergeOverwrite $affinity $scheduling.affinity | toYaml | nindent 2 }}
tolerations:
  {{- include "vllm-multinode.tolerations" . | nindent 2 }}
{{- with $scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
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
Tolerations: of nodes with GPUs, of lost nodes for a short time, and the user's.
Usage: include "vllm-multinode.tolerations" . | nindent 2
Returns: YAML, a list.
*/}}
{{- define "vllm-multinode.tolerations" -}}
{{- with .Values.group.gpuResource -}}
- {key: {{ . }}, operator: Exists}
{{- end }}
{{- range list "unreachable" "not-ready" }}
- key: node.kubernetes.io/{{ . }}
  operator: Exists
  effect: NoExecute
  tolerationSeconds: {{ $.Values.scheduling.nodeLossSeconds }}
{{- end }}
{{- with .Values.scheduling.tolerations }}
{{ toYaml . }}
{{- end }}
{{- end }}
