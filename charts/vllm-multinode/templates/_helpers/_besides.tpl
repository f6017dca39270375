{{/* Pods that are no ranks: helm test's, and the download's. */}}

{{/*
Where such a pod runs, and with which access to images: best on the leader's node, which has the image.
Usage: include "vllm-multinode.besides" . | nindent 6
Returns: YAML, fields of a pod's spec.
*/}}
{{- define "vllm-multinode.besides" -}}
automountServiceAccountToken: false
enableServiceLinks: false
affinity: # the leader's node has the image
  podAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              leaderworkerset.sigs.k8s.io/name: {{ include "vllm-multinode.fullname" . }}
tolerations:
  {{- include "vllm-multinode.tolerations" . | nindent 2 }}
{{- with .Values.scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
What the download's Job does. A container that failed is started again, with longer and longer pauses: it takes a Secret
that is corrected meanwhile, and goes on with the files that are not there yet.
Usage: include "vllm-multinode.weightsJobSpec" .
Returns: YAML.
*/}}
{{- define "vllm-multinode.weightsJobSpec" -}}
backoffLimit: 20
template:
  metadata:
    labels:
      {{- include "vllm-multinode.selectorLabels" . | nindent 6 }}
      app.kubernetes.io/component: weights
      sidecar.istio.io/inject: "false" # a Job with a mesh's sidecar never ends
    annotations:
      linkerd.io/inject: disabled
      checksum/scripts: {{ (.Files.Glob "files/weights/*.py").AsConfig | sha256sum }}
  spec:
    restartPolicy: OnFailure
    {{- include "vllm-multinode.besides" . | nindent 4 }}
    securityContext:
      {{- include "vllm-multinode.podSecurity" . | nindent 6 }}
    containers:
      {{- include "vllm-multinode.weightsContainer" (dict "root" . "script" "fill") | nindent 6 }}
    volumes:
      - name: tmp
        emptyDir: {}
      {{- include "vllm-multinode.weightsVolumes" . | nindent 6 }}
      {{- with .Values.extraVolumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
{{- end }}
