{{/* The one pod template of both roles. */}}

{{/*
A pod template.
Usage: include "vllm-multinode.pod" (dict "root" $ "role" "leader") | nindent 6
Returns: YAML. The roles differ in labels, in the container's name, ports, probes and preStop hook, and in nothing else.
*/}}
{{- define "vllm-multinode.pod" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $fabric := include "vllm-multinode.fabric" .root | fromJson -}}
{{- $daemon := include "vllm-multinode.fabricDaemon" .root -}}
metadata:
  labels:
    {{- include "vllm-multinode.selectorLabels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
    role: {{ .role }}
    {{- mergeOverwrite (dict "sidecar.istio.io/inject" "false") $values.podLabels | toYaml | nindent 4 }}
  annotations:
    {{- /* A mesh's sidecar breaks the traffic between ranks. */}}
    {{- $scripts := include "vllm-multinode.scripts" $root | sha256sum }}
    {{- $attached := include "vllm-multinode.fabricAnnotations" $root | fromJson }}
    {{- $topology := include "vllm-multinode.topologyAnnotations" $root | fromYaml }}
    {{- mergeOverwrite (dict "linkerd.io/inject" "disabled" "checksum/scripts" $scripts) $attached $topology $values.podAnnotations | toYaml | nindent 4 }}
spec:
  {{- include "vllm-multinode.placement" $root | nindent 2 }}
  serviceAccountName: {{ include "vllm-multinode.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false # a Service called vllm would set VLLM_PORT=tcp://…, which vLLM takes for its port
  {{- if $values.fabric.hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  terminationGracePeriodSeconds: {{ $values.shutdown.gracePeriodSeconds | default (add $values.shutdown.preStopSeconds $values.shutdown.drainSeconds 20) }}
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- include "vllm-multinode.podSecurity" $root | nindent 4 }}
  {{- with include "vllm-multinode.claimTemplate" $root }}
  resourceClaims:
    - {name: channel, resourceClaimTemplateName: {{ . }}}
  {{- end }}
  {{- if or $daemon $values.extraInitContainers $values.weights.download.enabled }}
  initContainers:
    {{- with $daemon }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $values.extraInitContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if $values.weights.download.enabled }}
    {{- include "vllm-multinode.weightsContainer" (dict "root" $root "script" (ternary "fill" "wait" (eq $values.weights.volume.type "hostPath"))) | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - name: vllm-{{ .role }}
      image: {{ include "vllm-multinode.image" $root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      command: [/bin/bash, /etc/vllm-multinode/{{ ternary "fabric" "entrypoint" $fabric.prepared }}.sh]
      args:
        {{- include "vllm-multinode.arguments" $root | nindent 8 }}
      env:
        {{- include "vllm-multinode.environment" $root | nindent 8 }}
      {{- if eq .role "leader" }}
      ports:
        - name: http
          containerPort: {{ $values.engine.port }}
      {{- end }}
      {{- include "vllm-multinode.health" . | nindent 6 }}
      resources:
        {{- include "vllm-multinode.resources" $root | nindent 8 }}
      securityContext:
        {{- include "vllm-multinode.containerSecurity" $root | nindent 8 }}
      terminationMessagePolicy: FallbackToLogsOnError
      volumeMounts:
        {{- include "vllm-multinode.mounts" $root | nindent 8 }}
    {{- with $values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "vllm-multinode.volumes" $root | nindent 4 }}
{{- end }}
