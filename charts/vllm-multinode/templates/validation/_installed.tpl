{{/* Rules on values that can't be changed any more, compared with what the release has on the cluster. */}}

{{/*
Problems with changes of an installed release. There are none where Helm does not ask a cluster, as in helm template:
vmn preflight reports them there. The StatefulSet counts, because a LeaderWorkerSet may already ask for something that
LWS can't apply. It is read only when there is reason to, as not everyone may read it.
Usage: include "vllm-multinode.rules.installed" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.installed" -}}
{{- $problems := list -}}
{{- $name := include "vllm-multinode.fullname" . -}}
{{- $lws := include "vllm-multinode.installed" . | fromJson -}}
{{- if $lws -}}
{{- $template := $lws.spec.leaderWorkerTemplate -}}
{{- $queue := index ($lws.metadata.labels | default dict) "kueue.x-k8s.io/queue-name" -}}
{{- if and $queue (ne (int $template.size) (int .Values.group.nodes)) -}}
{{- $problems = append $problems (dict "key" "group.nodes" "got" .Values.group.nodes
      "why" (printf "can't be changed in queue %s of Kueue: newer versions refuse it, and with Kueue 0.17 the pods stay SchedulingGated, as each group keeps its Workload of %d pods" $queue (int $template.size))
      "fix" (printf "Set group.nodes: %d, or uninstall the release and install it again." (int $template.size))) -}}
{{- end -}}
{{- $wanted := include "vllm-multinode.parsed" (dict "what" "volumeClaimTemplates" "yaml" (printf "claims:\n%s" (include "vllm-multinode.volumeClaimTemplates" .))) | fromJson -}}
{{- $after := include "vllm-multinode.claims" $wanted.claims | fromJson -}}
{{- $before := include "vllm-multinode.claims" $template.volumeClaimTemplates | fromJson -}}
{{- $observed := dig "status" "observedGeneration" $lws.metadata.generation $lws -}}
{{- if or (not (deepEqual $before $after)) (ne $observed $lws.metadata.generation) -}}
{{- with lookup "apps/v1" "StatefulSet" $.Release.Namespace $name -}}
{{- $before = include "vllm-multinode.claims" .spec.volumeClaimTemplates | fromJson -}}
{{- $cache := $.Values.cache -}}
{{- $why := "can't be changed: LeaderWorkerSet accepts other claims than %s, but could then apply neither this change nor any later one" -}}
{{- $fix := "Set cache.type, cache.size, and cache.storageClassName as they were, or uninstall the release, delete its claims, and install it again." -}}
{{- if ne (len $before) (len $after) -}}
{{- $problems = append $problems (dict "key" "cache.type" "got" $cache.type
      "why" (printf $why (ternary "those of volumeClaimTemplate" "none" (not (empty $before)))) "fix" $fix) -}}
{{- else -}}
{{- range $claim, $old := $before -}}
{{- $new := get $after $claim | default dict -}}
{{- range $key, $field := dict "cache.size" "size" "cache.storageClassName" "storageClassName" "cache.type" "form" -}}
{{- if ne (toJson (get $old $field)) (toJson (get $new $field)) -}}
{{- $had := ternary $old.shown (get $old $field | default "the default class") (eq $field "size") -}}
{{- $problems = append $problems (dict "key" $key "got" (get $cache (trimPrefix "cache." $key))
      "why" (printf $why $had) "fix" $fix) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}

{{/*
The release's LeaderWorkerSet on the cluster.
Usage: include "vllm-multinode.installed" . | fromJson
Returns: JSON, a map, which is empty when there is none or Helm does not ask a cluster.
*/}}
{{- define "vllm-multinode.installed" -}}
{{- $api := "leaderworkerset.x-k8s.io/v1" -}}
{{- $found := dict -}}
{{- if .Capabilities.APIVersions.Has (printf "%s/LeaderWorkerSet" $api) -}}
{{- $found = lookup $api "LeaderWorkerSet" .Release.Namespace (include "vllm-multinode.fullname" .) -}}
{{- end -}}
{{- toJson $found -}}
{{- end }}

{{/*
What counts in a list of volumeClaimTemplates: the fields that LWS copies to its StatefulSet (lws 0.9.0,
GetPVCApplyConfiguration). Sizes are compared as numbers, as the API server writes 20480Mi as 20Gi.
Usage: include "vllm-multinode.claims" $templates | fromJson
Returns: JSON, a map from names to maps with size, shown (the size as it is written), storageClassName, and form.
*/}}
{{- define "vllm-multinode.claims" -}}
{{- $claims := dict -}}
{{- range . -}}
{{- $resources := .spec.resources | default dict -}}
{{- $size := dig "requests" "storage" "0" $resources | toString -}}
{{- $form := printf "%s, %s%s" (join ", " .spec.accessModes) (.spec.volumeMode | default "Filesystem") (ternary (printf ", limit %v" (dig "limits" "storage" "" $resources)) "" (hasKey $resources "limits")) -}}
{{- $_ := set $claims .metadata.name (dict
      "size" (include "vllm-multinode.bytes" $size) "shown" $size
      "storageClassName" (.spec.storageClassName | default "") "form" $form) -}}
{{- end -}}
{{- toJson $claims -}}
{{- end }}
