{{/* The pod template of both roles. */}}

{{/*
A pod template. The roles differ in labels, and in the container's name, ports, and probes. Nothing else may differ.
Usage: include "vllm-multinode.pod" (dict "root" $ "fabric" $fabric "role" "leader") | nindent 6
Returns: YAML, a map.
*/}}
{{- define "vllm-multinode.pod" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $daemon := include "vllm-multinode.fabricDaemon" . -}}
{{- $servers := include "vllm-multinode.servers" .root | fromJson -}}
metadata:
  labels:
    {{- include "vllm-multinode.selectorLabels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
    role: {{ .role }}
    {{- mergeOverwrite (dict "sidecar.istio.io/inject" "false") $values.podLabels | toYaml | nindent 4 }}
  annotations:
    {{- /* A service mesh's sidecar would break the traffic between ranks. */}}
    {{- $derived := dict "linkerd.io/inject" "disabled" "checksum/scripts" (include "vllm-multinode.scripts" . | sha256sum) }}
    {{- $networks := include "vllm-multinode.fabricAnnotations" . | fromJson }}
    {{- $topology := include "vllm-multinode.topologyAnnotations" $root | fromJson }}
    {{- mergeOverwrite $derived $networks $topology $values.podAnnotations | toYaml | nindent 4 }}
spec:
  {{- include "vllm-multinode.placement" . | nindent 2 }}
  serviceAccountName: {{ include "vllm-multinode.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false # for a Service named vllm it would set VLLM_PORT=tcp://…, which vLLM reads as its own setting
  {{- if $values.fabric.hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  terminationGracePeriodSeconds: {{ $values.shutdown.gracePeriodSeconds | default (add $values.shutdown.preStopSeconds $values.shutdown.drainSeconds 20) }}
  {{- with include "vllm-multinode.pullSecrets" $root }}
  {{- . | nindent 2 }}
  {{- end }}
  securityContext:
    {{- include "vllm-multinode.podSecurity" . | nindent 4 }}
  {{- with include "vllm-multinode.claimTemplate" . }}
  resourceClaims:
    - {name: channel, resourceClaimTemplateName: {{ . }}}
  {{- end }}
  {{- $bandwidth := include "vllm-multinode.bandwidthContainer" . }}
  {{- if or $daemon $values.extraInitContainers $bandwidth $values.weights.download.enabled }}
  initContainers:
    {{- with $daemon }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $values.extraInitContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with $bandwidth }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if $values.weights.download.enabled }}
    {{- include "vllm-multinode.weightsContainer" (dict "root" $root "stays" true "script" (ternary "fill" "wait" (eq $values.weights.volume.type "hostPath"))) | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - name: vllm-{{ .role }}
      image: {{ include "vllm-multinode.image" $root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      command: {{ include "vllm-multinode.command" . }}
      args:
        {{- include "vllm-multinode.arguments" $root | nindent 8 }}
      env:
        {{- include "vllm-multinode.environment" . | nindent 8 }}
      {{- if or (eq .role "leader") $servers.everyPod }}
      ports:
        {{- range append $servers.ports $servers.health | uniq }}
        - name: {{ .name }}
          containerPort: {{ .number }}
        {{- end }}
      {{- end }}
      {{- include "vllm-multinode.health" . | nindent 6 }}
      resources:
        {{- include "vllm-multinode.resources" . | nindent 8 }}
      securityContext:
        {{- include "vllm-multinode.containerSecurity" (dict "root" $root "capabilities" .fabric.capabilities) | nindent 8 }}
      terminationMessagePolicy: FallbackToLogsOnError
      volumeMounts:
        {{- include "vllm-multinode.mounts" . | nindent 8 }}
    {{- with $values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "vllm-multinode.volumes" . | nindent 4 }}
{{- end }}

{{/*
The probes and the preStop hook of a role. The kubelet asks an API server for /health, which answers only after the weights
are loaded. The probe of a worker without one connects to its leader: vLLM's own workers wait forever for a leader that is
gone.
Usage: include "vllm-multinode.health" (dict "root" $ "role" "leader") | nindent 4
Returns: YAML, fields of a container.
*/}}
{{- define "vllm-multinode.health" -}}
{{- $probes := .root.Values.probes -}}
{{- $servers := include "vllm-multinode.servers" .root | fromJson -}}
{{- $server := dict "httpGet" (dict "path" "/health" "port" $servers.health.name) -}}
{{- $worker := dict "exec" (dict "command" (list "/bin/bash" "/etc/vllm-multinode/worker-probe.sh")) -}}
{{- $handler := ternary $server $worker (or (eq .role "leader") $servers.everyPod) -}}
{{- $periods := div (add (include "vllm-multinode.startupSeconds" .root | int) 4) 5 -}}
{{- $startup := dict "periodSeconds" 5 "timeoutSeconds" 5 "failureThreshold" $periods -}}
{{- if .root.Values.group.inPlaceRestart.enabled -}}
{{- include "vllm-multinode.restartProbes" (dict "startup" $startup "probes" $probes) | trim }}
{{- else -}}
startupProbe:
  {{- merge $startup $handler | toYaml | nindent 2 }}
readinessProbe:
  {{- merge (deepCopy $probes.readiness) $handler | toYaml | nindent 2 }}
livenessProbe:
  {{- merge (deepCopy $probes.liveness) $handler | toYaml | nindent 2 }}
{{- end }}
lifecycle:
  preStop:
    exec:
      command: [/bin/bash, /etc/vllm-multinode/prestop.sh]
{{- end }}
