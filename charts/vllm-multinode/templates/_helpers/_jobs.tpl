{{/* Pods outside of a group: those of the download and of `helm test`. */}}

{{/*
Placement of such a pod, and its access to images. It prefers the node of a leader, which already has the image.
Usage: include "vllm-multinode.jobPod" . | nindent 6
Returns: YAML, fields of a pod's spec.
*/}}
{{- define "vllm-multinode.jobPod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
affinity:
  podAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              leaderworkerset.sigs.k8s.io/name: {{ include "vllm-multinode.fullname" . }}
{{ include "vllm-multinode.nodes" . }}
{{- with include "vllm-multinode.pullSecrets" . }}
{{ . }}
{{- end }}
{{- end }}
