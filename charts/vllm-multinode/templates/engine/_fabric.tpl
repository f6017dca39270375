{{/* What the network between nodes adds to pods: fabrics.yaml, for the profile that is set. */}}

{{/*
The profile, with what values decide: `prepared` when fabric.sh runs before the entrypoint, `interface`, and `volumes`.
Usage: include "vllm-multinode.fabric" . | fromJson
Returns: JSON, the profile's keys in fabrics.yaml and those three.
*/}}
{{- define "vllm-multinode.fabric" -}}
{{- $values := .Values.fabric -}}
{{- $fabric := index (.Files.Get "files/fabrics.yaml" | fromYaml) $values.profile -}}
{{- $interface := $values.interface | default (ternary "auto" "" (or $fabric.findsInterface (not (empty $values.networks)))) -}}
{{- $folders := dict -}}
{{- range $path := concat (values ($fabric.mounts | default dict)) (values (dig "daemon" "mounts" dict $fabric)) -}}
{{- $_ := set $folders $path (printf "node%s" (replace "/" "-" $path | replace "_" "-")) -}}
{{- end -}}
{{- $prepared := or (eq $interface "auto") (hasKey $fabric "script") -}}
{{- merge $fabric (dict "interface" $interface "prepared" $prepared "volumes" $folders) | toJson -}}
{{- end }}

{{/*
Environment variables of NCCL, Gloo and fabric.sh.
Usage: include "vllm-multinode.fabricEnvironment" . | fromJson
Returns: JSON, a map.
*/}}
{{- define "vllm-multinode.fabricEnvironment" -}}
{{- $fabric := include "vllm-multinode.fabric" . | fromJson -}}
{{- $env := $fabric.env | default dict -}}
{{- with $fabric.interface -}}
{{- if eq . "auto" -}}
{{- $_ := set $env "MULTINODE_INTERFACE" "auto" -}}
{{- else -}}
{{- $env = merge $env (dict "NCCL_SOCKET_IFNAME" (printf "=%s" .) "GLOO_SOCKET_IFNAME" .) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := dict "MULTINODE_NCCL_SCRIPT" $fabric.script "MULTINODE_LIBRARIES" $fabric.libraries "NCCL_IB_GID_INDEX" .Values.fabric.gidIndex -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $env $name $value -}}
{{- end -}}
{{- end -}}
{{- toJson $env -}}
{{- end }}

{{/*
Annotations that attach pods to networks and containers to devices. Google numbers the interfaces of its networks, and
fabric.networks may name one with @, as Multus does.
Usage: include "vllm-multinode.fabricAnnotations" . | fromJson
Returns: JSON, a map of strings.
*/}}
{{- define "vllm-multinode.fabricAnnotations" -}}
{{- $fabric := include "vllm-multinode.fabric" . | fromJson -}}
{{- $annotations := $fabric.annotations | default dict -}}
{{- $networks := .Values.fabric.networks -}}
{{- if and $networks $fabric.gke -}}
{{- $interfaces := list (dict "interfaceName" "eth0" "network" "default") -}}
{{- range $index, $network := $networks -}}
{{- $parts := splitList "@" $network -}}
{{- $own := printf "eth%d" (add $index $fabric.gke) -}}
{{- $interfaces = append $interfaces (dict "interfaceName" (index (append $parts $own) 1) "network" (first $parts)) -}}
{{- end -}}
{{- $annotations = merge $annotations (dict "networking.gke.io/default-interface" "eth0" "networking.gke.io/interfaces" (toJson $interfaces)) -}}
{{- else if $networks -}}
{{- $_ := set $annotations "k8s.v1.cni.cncf.io/networks" (join "," $networks) -}}
{{- end -}}
{{- toJson $annotations -}}
{{- end }}

{{/*
The container beside vLLM's, as an init container that goes on: it is there before vLLM, and after it.
Usage: include "vllm-multinode.fabricDaemon" . | nindent 4
Returns: YAML, a list of one, or nothing.
*/}}
{{- define "vllm-multinode.fabricDaemon" -}}
{{- $fabric := include "vllm-multinode.fabric" . | fromJson -}}
{{- with $fabric.daemon -}}
- name: {{ .name }}
  image: {{ include "vllm-multinode.reference" (merge (dict "root" $) $.Values.fabric.daemonImage) }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
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
    - {name: {{ get $fabric.volumes $folder }}, mountPath: {{ $path }}}
    {{- end }}
{{- end -}}
{{- end }}

{{/*
Name of the ResourceClaimTemplate of a channel of the ComputeDomain.
Usage: include "vllm-multinode.claimTemplate" .
Returns: the name, empty when the profile has none.
*/}}
{{- define "vllm-multinode.claimTemplate" -}}
{{- if (include "vllm-multinode.fabric" . | fromJson).computeDomain -}}
{{- .Values.fabric.claimTemplate | default (printf "%s-channel" (include "vllm-multinode.fullname" .)) -}}
{{- end -}}
{{- end }}

{{/*
The scripts of the pods. What is in here restarts pods when it changes.
Usage: include "vllm-multinode.scripts" . | nindent 2
Returns: YAML, a map.
*/}}
{{- define "vllm-multinode.scripts" -}}
{{- (.Files.Glob "files/engine/*.sh").AsConfig -}}
{{- (.Files.Glob "files/test/*.sh").AsConfig | nindent 0 -}}
{{- if (include "vllm-multinode.fabric" . | fromJson).prepared }}
{{ (.Files.Glob "files/fabric/*.sh").AsConfig }}
{{- end -}}
{{- end }}
