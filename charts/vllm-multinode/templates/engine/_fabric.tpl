{{/* What the network between nodes adds to pods: the chosen profile of files/fabrics.yaml. */}}

{{/*
The chosen profile, completed from values. A template computes it once and passes it on, as it is parsed from a file.
Usage: include "vllm-multinode.fabric" . | fromJson
Returns: JSON: the profile's keys, and `interface` (fabric.interface or the profile's default), `wrapped` (fabric.sh
starts entrypoint.sh), and `volumes` ({folder on the node: name of its volume}).
*/}}
{{- define "vllm-multinode.fabric" -}}
{{- $values := .Values.fabric -}}
{{- $profiles := include "vllm-multinode.parsed" (dict "what" "files/fabrics.yaml" "yaml" (.Files.Get "files/fabrics.yaml")) | fromJson -}}
{{- $fabric := index $profiles $values.profile -}}
{{- $interface := $values.interface | default (ternary "auto" "" (or $fabric.findsInterface (not (empty $values.networks)))) -}}
{{- $volumes := dict -}}
{{- range $folder := concat (values ($fabric.mounts | default dict)) (values (dig "daemon" "mounts" dict $fabric)) -}}
{{- $_ := set $volumes $folder (printf "node%s" (replace "/" "-" $folder | replace "_" "-")) -}}
{{- end -}}
{{- $wrapped := or (eq $interface "auto") (hasKey $fabric "script") -}}
{{- merge $fabric (dict "interface" $interface "wrapped" $wrapped "volumes" $volumes) | toJson -}}
{{- end }}

{{/*
Environment variables of NCCL, Gloo, and fabric.sh.
Usage: include "vllm-multinode.fabricEnvironment" (dict "root" $ "fabric" $fabric) | fromJson
Returns: JSON, a map.
*/}}
{{- define "vllm-multinode.fabricEnvironment" -}}
{{- $env := deepCopy (.fabric.env | default dict) -}}
{{- with .fabric.interface -}}
{{- if eq . "auto" -}}
{{- $_ := set $env "MULTINODE_INTERFACE" "auto" -}}
{{- else -}}
{{- $env = merge $env (dict "NCCL_SOCKET_IFNAME" (printf "=%s" .) "GLOO_SOCKET_IFNAME" .) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := dict "MULTINODE_NCCL_SCRIPT" .fabric.script "MULTINODE_LIBRARIES" .fabric.libraries "NCCL_IB_GID_INDEX" .root.Values.fabric.gidIndex -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $env $name $value -}}
{{- end -}}
{{- end -}}
{{- /* Two threads are enough for the connections of a channel: more of them slow small messages down. */ -}}
{{- $streams := .root.Values.fabric.tcpStreams -}}
{{- if and $streams (eq .root.Values.fabric.profile "tcp") (gt (int .root.Values.group.nodes) 1) -}}
{{- $env = merge $env (dict "NCCL_SOCKET_NTHREADS" 2 "NCCL_NSOCKS_PERTHREAD" (div $streams 2)) -}}
{{- end -}}
{{- toJson $env -}}
{{- end }}

{{/*
Annotations that attach pods to networks, and containers to devices. Google numbers the interfaces of its networks; an
item of fabric.networks may name its interface after an @, as in Multus.
Usage: include "vllm-multinode.fabricAnnotations" (dict "root" $ "fabric" $fabric) | fromJson
Returns: JSON, a map of strings.
*/}}
{{- define "vllm-multinode.fabricAnnotations" -}}
{{- $annotations := deepCopy (.fabric.annotations | default dict) -}}
{{- $networks := .root.Values.fabric.networks -}}
{{- if and $networks .fabric.gke -}}
{{- $first := .fabric.gke -}}
{{- $interfaces := list (dict "interfaceName" "eth0" "network" "default") -}}
{{- range $index, $network := $networks -}}
{{- $parts := splitList "@" $network -}}
{{- $numbered := printf "eth%d" (add $index $first) -}}
{{- $interfaces = append $interfaces (dict "interfaceName" (index (append $parts $numbered) 1) "network" (first $parts)) -}}
{{- end -}}
{{- $annotations = merge $annotations (dict "networking.gke.io/default-interface" "eth0" "networking.gke.io/interfaces" (toJson $interfaces)) -}}
{{- else if $networks -}}
{{- $_ := set $annotations "k8s.v1.cni.cncf.io/networks" (join "," $networks) -}}
{{- end -}}
{{- toJson $annotations -}}
{{- end }}

{{/*
The fabric's daemon. It is an init container with restartPolicy Always, so that it starts before vLLM and stops after
it.
Usage: include "vllm-multinode.fabricDaemon" (dict "root" $ "fabric" $fabric) | nindent 4
Returns: YAML, a list with one item, or nothing.
*/}}
{{- define "vllm-multinode.fabricDaemon" -}}
{{- $values := .root.Values -}}
{{- $volumes := .fabric.volumes -}}
{{- $image := include "vllm-multinode.reference" (merge (dict "root" .root) $values.fabric.daemonImage) -}}
{{- with .fabric.daemon -}}
- name: {{ .name }}
  image: {{ $image }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  restartPolicy: Always
  command:
    {{- toYaml .command | nindent 4 }}
  env:
    {{- range $name, $value := .env }}
    - {name: {{ $name }}, value: {{ $value | quote }}}
    {{- end }}
  securityContext:
    allowPrivilegeEscalation: false
    capabilities:
      add:
        {{- toYaml .capabilities | nindent 8 }}
  volumeMounts:
    {{- range $path, $folder := .mounts }}
    - {name: {{ get $volumes $folder }}, mountPath: {{ $path }}}
    {{- end }}
{{- end -}}
{{- end }}

{{/*
The name of the ResourceClaimTemplate for a channel of a ComputeDomain.
Usage: include "vllm-multinode.claimTemplate" (dict "root" $ "fabric" $fabric)
Returns: the name, or nothing when the profile needs no channel.
*/}}
{{- define "vllm-multinode.claimTemplate" -}}
{{- if .fabric.computeDomain -}}
{{- .root.Values.fabric.claimTemplate | default (printf "%s-channel" (include "vllm-multinode.fullname" .root)) -}}
{{- end -}}
{{- end }}
