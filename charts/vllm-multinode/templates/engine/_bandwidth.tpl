{{/* The check of the bandwidth between a group's GPUs, before vLLM starts. */}}

{{/*
The least bus bandwidth of the group in GB/s.
Usage: include "vllm-multinode.bandwidthFloor" (dict "root" $ "fabric" $fabric)
Returns: a number, or nothing for a group of one node.
*/}}
{{- define "vllm-multinode.bandwidthFloor" -}}
{{- $group := .root.Values.group -}}
{{- if gt (int $group.nodes) 1 -}}
{{- $floor := .fabric.floor -}}
{{- .root.Values.fabric.bandwidthCheck.floorGBps | default $floor.perGroup | default (mulf ($floor.perGpu | default 0) $group.gpusPerNode) -}}
{{- end -}}
{{- end }}

{{/*
The container that measures. It has what vLLM's container has, without Secrets. After a failure it measures again and
does not end, as LeaderWorkerSet recreates a group for a restart of any container.
Usage: include "vllm-multinode.bandwidthContainer" (dict "root" $ "fabric" $fabric) | nindent 4
Returns: YAML, a list with one item, or nothing.
*/}}
{{- define "vllm-multinode.bandwidthContainer" -}}
{{- $values := .root.Values -}}
{{- if $values.fabric.bandwidthCheck.enabled -}}
{{- $program := "/etc/vllm-multinode-bandwidth/bandwidth.py" -}}
{{- $spec := dict
      "gpus" (ternary (int $values.group.gpusPerNode) 0 (not (empty $values.group.gpuResource)))
      "port" $values.engine.masterPort "meet" $values.startup.leaderAddressSeconds
      "backoff" $values.startup.backoffSeconds "stays" true -}}
{{- with include "vllm-multinode.bandwidthFloor" . -}}
{{- $_ := set $spec "floor" (float64 .) -}}
{{- end -}}
{{- $env := include "vllm-multinode.plainEnvironment" . | fromJson -}}
{{- $env = mergeOverwrite $env (dict "HOME" "/tmp" "MULTINODE_BANDWIDTH" (toJson $spec)) -}}
{{- if .fabric.wrapped -}}
{{- $_ := set $env "MULTINODE_PROGRAM" $program -}}
{{- end -}}
- name: bandwidth
  image: {{ include "vllm-multinode.image" .root }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  command: {{ ternary (list "/bin/bash" "/etc/vllm-multinode/fabric.sh") (list "python3" "-B" $program) .fabric.wrapped | toJson }}
  env:
    {{- range $name, $path := dict "VLLM_HOST_IP" "status.podIP" "MULTINODE_NODE" "spec.nodeName" }}
    - name: {{ $name }}
      valueFrom:
        fieldRef:
          fieldPath: {{ $path }}
    {{- end }}
    {{- range $name, $value := $env }}
    - name: {{ $name }}
      value: {{ $value | quote }}
    {{- end }}
    {{- with $values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  resources:
    {{- include "vllm-multinode.resources" . | nindent 4 }}
  securityContext:
    {{- include "vllm-multinode.containerSecurity" (dict "root" .root "capabilities" .fabric.capabilities) | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - {name: bandwidth, mountPath: /etc/vllm-multinode-bandwidth, readOnly: true}
    {{- include "vllm-multinode.mounts" . | nindent 4 }}
{{- end -}}
{{- end }}
