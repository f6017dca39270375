{{/* Rules on the network between nodes. */}}

{{/*
Problems with the fabric: what its profile requires, and keys that the profile does not use.
Usage: include "vllm-multinode.rules.fabric" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.fabric" -}}
{{- $problems := list -}}
{{- $values := .Values.fabric -}}
{{- $profile := $values.profile -}}
{{- $fabric := include "vllm-multinode.fabric" . | fromJson -}}
{{- if and $fabric.needsResource (not $values.resourceName) -}}
{{- $problems = append $problems (dict "key" "fabric.profile" "got" $profile
      "why" "gives the pods no RDMA device while fabric.resourceName is not set"
      "fix" "Set fabric.resourceName to the device plugin's resource, such as rdma/hca_shared_devices_a.") -}}
{{- end -}}
{{- $users := dict
      "resourceName" (list "infiniband" "roce" "efa")
      "gidIndex" (list "infiniband" "roce")
      "claimTemplate" (list "mnnvl")
      "daemonImage" (list "gpudirect-tcpxo") -}}
{{- range $key, $profiles := $users -}}
{{- $value := index $values $key -}}
{{- $isSet := not (kindIs "invalid" $value) -}}
{{- if eq $key "daemonImage" -}}
{{- $isSet = $value.digest -}}
{{- end -}}
{{- if and $isSet (not (has $profile $profiles)) -}}
{{- $problems = append $problems (dict "key" (printf "fabric.%s" $key) "got" $value
      "why" (printf "is used only with fabric.profile %s, but the profile is %s" (join " or " $profiles) $profile)
      "fix" "Remove it, or choose another profile.") -}}
{{- end -}}
{{- end -}}
{{- if and $values.networks (has $profile (list "tcp" "efa" "mnnvl")) -}}
{{- $problems = append $problems (dict "key" "fabric.networks" "got" $values.networks
      "why" (printf "attaches pods to RDMA networks, but fabric.profile is %s" $profile)
      "fix" "Remove it, or set fabric.profile to infiniband, roce, gpudirect-tcpxo, or gib.") -}}
{{- end -}}
{{- if and $values.networks $values.hostNetwork -}}
{{- $problems = append $problems (dict "key" "fabric.networks" "got" $values.networks
      "why" "adds interfaces to a pod's own network, but fabric.hostNetwork is true"
      "fix" "Remove one of the two.") -}}
{{- end -}}
{{- if and $fabric.gke (not $values.networks) (not $values.hostNetwork) -}}
{{- $problems = append $problems (dict "key" "fabric.networks" "got" $values.networks
      "why" (printf "leaves the pods without the GPUs' network interfaces, which fabric.profile %s requires" $profile)
      "fix" "List the cluster's Networks for GPUs (kubectl get networks.networking.gke.io), or set fabric.hostNetwork to true.") -}}
{{- end -}}
{{- if and $fabric.computeDomain (eq (int .Values.group.nodes) 1) -}}
{{- $problems = append $problems (dict "key" "fabric.profile" "got" $profile
      "why" "joins the GPUs of several nodes, but group.nodes is 1"
      "fix" "Use tcp.") -}}
{{- end -}}
{{- if and $values.hostNetwork (not $values.interface) (not $fabric.findsInterface) -}}
{{- $problems = append $problems (dict "key" "fabric.interface" "got" $values.interface
      "why" "is required with fabric.hostNetwork: otherwise Gloo uses the node's hostname, which often resolves to 127.0.0.1"
      "fix" "Set it to auto, or to the interface that reaches the other nodes, such as eth0.") -}}
{{- end -}}
{{- with $values.bandwidthCheck -}}
{{- if and .floorGBps (not .enabled) -}}
{{- $problems = append $problems (dict "key" "fabric.bandwidthCheck.floorGBps" "got" .floorGBps
      "why" "has no effect while fabric.bandwidthCheck.enabled is false"
      "fix" "Enable the check, or remove the floor; vmn preflight has --bandwidth-floor.") -}}
{{- end -}}
{{- if and .enabled .floorGBps (eq (int $.Values.group.nodes) 1) -}}
{{- $problems = append $problems (dict "key" "fabric.bandwidthCheck.floorGBps" "got" .floorGBps
      "why" "is for the network between nodes, but group.nodes is 1"
      "fix" "Remove it; the check then compares only the GPUs of the node.") -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
