{{/* Rules on the network between nodes. A message is: key: value why. Fix. */}}

{{/*
Rules on the fabric: what its profile needs, and keys that it does not read.
Usage: include "vllm-multinode.rules.fabric" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.fabric" -}}
{{- $problems := list -}}
{{- $values := .Values.fabric -}}
{{- $profile := $values.profile -}}
{{- $fabric := include "vllm-multinode.fabric" . | fromJson -}}
{{- if and $fabric.needsResource (not $values.resourceName) -}}
{{- $problems = append $problems (printf "fabric.profile: %s without fabric.resourceName gives the pods no RDMA device. Set resourceName to the device plugin's resource, such as rdma/hca_shared_devices_a." $profile) -}}
{{- end -}}
{{- $reads := dict
      "resourceName" (list "infiniband" "roce" "efa")
      "gidIndex" (list "infiniband" "roce")
      "claimTemplate" (list "mnnvl")
      "daemonImage" (list "gpudirect-tcpxo") -}}
{{- range $key, $readers := $reads -}}
{{- $value := index $values $key -}}
{{- $given := not (kindIs "invalid" $value) -}}
{{- if eq $key "daemonImage" -}}
{{- $given = $value.digest -}}
{{- end -}}
{{- if and $given (not (has $profile $readers)) -}}
{{- $problems = append $problems (printf "fabric.%s: %s is for %s, and fabric.profile is %s. Leave it out, or set the profile to %s." $key (toJson $value) (join ", " $readers) $profile (join " or " $readers)) -}}
{{- end -}}
{{- end -}}
{{- if and $values.networks (has $profile (list "tcp" "efa" "mnnvl")) -}}
{{- $problems = append $problems (printf "fabric.networks: %s are for RDMA, and fabric.profile is %s. Leave them out, or set the profile to infiniband, roce, gpudirect-tcpxo or gib." (toJson $values.networks) $profile) -}}
{{- end -}}
{{- if and $values.networks $values.hostNetwork -}}
{{- $problems = append $problems (printf "fabric.networks: %s add interfaces to a pod's own network, and hostNetwork is on. Leave one of the two out." (toJson $values.networks)) -}}
{{- end -}}
{{- if and $fabric.gke (not $values.networks) (not $values.hostNetwork) -}}
{{- $problems = append $problems (printf "fabric.networks: [] leaves the pods without the GPUs' network interfaces, and fabric.profile is %s. List the cluster's Networks for them (kubectl get networks.networking.gke.io), or turn hostNetwork on." $profile) -}}
{{- end -}}
{{- if and $fabric.computeDomain (eq (int .Values.group.nodes) 1) -}}
{{- $problems = append $problems "fabric.profile: mnnvl joins the GPUs of several nodes, and group.nodes is 1. Use tcp." -}}
{{- end -}}
{{- if and $values.hostNetwork (not $values.interface) (not $fabric.findsInterface) -}}
{{- $problems = append $problems "fabric.interface: null leaves Gloo to the node's own name, which resolves to 127.0.0.1, and hostNetwork is on. Set auto, or the interface that reaches the other nodes, such as eth0." -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
