{{/* Rules on the weights and the air gap. A message is: key: value why. Fix. */}}

{{/*
Rules on the source of the weights.
Usage: include "vllm-multinode.rules.weights" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.weights" -}}
{{- $problems := list -}}
{{- $weights := .Values.weights -}}
{{- $source := $weights.source -}}
{{- $volume := $weights.volume -}}
{{- $download := $weights.download.enabled -}}
{{- $inside := hasPrefix (printf "%s/" $weights.mountPath) (printf "%s/" $weights.path) -}}
{{- if eq $source "volume" -}}
{{- if eq $volume.type "emptyDir" -}}
{{- $problems = append $problems "weights.volume.type: emptyDir is empty when a pod starts, and source is volume. Use hostPath or persistentVolumeClaim." -}}
{{- end -}}
{{- if not (or $inside (and $download (not $weights.path))) -}}
{{- $problems = append $problems (printf "weights.path: %q is no folder in mountPath, and vLLM stays offline with source volume. Use the checkpoint's folder, such as %s/DeepSeek-R1." ($weights.path | default "") $weights.mountPath) -}}
{{- end -}}
{{- else -}}
{{- if and $weights.path (ne $source "image") -}}
{{- $problems = append $problems (printf "weights.path: %q is not used with source %s. Leave it out, or set weights.source to volume." $weights.path $source) -}}
{{- else if and $weights.path (not $inside) -}}
{{- $problems = append $problems (printf "weights.path: %q is no folder in mountPath, where the image is. Use a folder such as %s/DeepSeek-R1, or leave it out." $weights.path $weights.mountPath) -}}
{{- end -}}
{{- if $download -}}
{{- $problems = append $problems (printf "weights.download.enabled: true fills a volume, and weights.source is %s. Set source to volume, or leave the download out." $source) -}}
{{- end -}}
{{- end -}}
{{- if and $weights.endpoint (not $download) (ne $source "huggingFace") -}}
{{- $problems = append $problems (printf "weights.endpoint: %q is not used, as nothing is downloaded. Leave it out, or set weights.download.enabled." $weights.endpoint) -}}
{{- end -}}
{{- if and $volume.create (not (and $download (eq $volume.type "persistentVolumeClaim"))) -}}
{{- $problems = append $problems "weights.volume.create: true makes a claim that nothing fills. Set weights.volume.type to persistentVolumeClaim and weights.download.enabled to true, or name a claim that is full (claimName)." -}}
{{- end -}}
{{- if and $volume.create (not $volume.size) -}}
{{- $problems = append $problems "weights.volume.size: null is no size for the claim. Use the model's size and a tenth more (`vmn plan` prints it), such as 750Gi for DeepSeek-R1." -}}
{{- end -}}
{{- if and $volume.storageClassName (not $volume.create) -}}
{{- $problems = append $problems (printf "weights.volume.storageClassName: %q is for a claim that the chart makes. Leave it out, or set weights.volume.create." $volume.storageClassName) -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}

{{/*
Rules on weights in an image or an object store.
Usage: include "vllm-multinode.rules.stores" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.stores" -}}
{{- $problems := list -}}
{{- $weights := .Values.weights -}}
{{- range $source, $key := dict "image" "reference" "objectStore" "uri" -}}
{{- $value := index $weights $source $key -}}
{{- if and (eq $weights.source $source) (not $value) -}}
{{- $problems = append $problems (printf "weights.%s.%s: null is missing, and weights.source is %s. Set it." $source $key $source) -}}
{{- else if and (ne $weights.source $source) $value -}}
{{- $problems = append $problems (printf "weights.%s.%s: %q is not used with source %s. Leave it out, or set weights.source to %s." $source $key $value $weights.source $source) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "endpoint" "existingSecret" -}}
{{- $value := index $weights.objectStore $key -}}
{{- if and $value (not (hasPrefix "s3://" ($weights.objectStore.uri | default ""))) -}}
{{- $problems = append $problems (printf "weights.objectStore.%s: %q is for S3, and weights.objectStore.uri is none of S3. Leave it out; access to Google's store comes with serviceAccount.annotations." $key $value) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $weights.source "image") (semverCompare "<1.35.0-0" .Capabilities.KubeVersion.Version) -}}
{{- $problems = append $problems (printf "weights.source: image needs image volumes, which Kubernetes has from 1.35 on, and this is %s, which drops them silently. Upgrade, or use a volume. (Without a cluster: helm template --kube-version.)" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}

{{/*
Rules on a cluster without a way to the internet.
Usage: include "vllm-multinode.rules.airGap" . | fromJsonArray
Returns: JSON, a list of messages.
*/}}
{{- define "vllm-multinode.rules.airGap" -}}
{{- $problems := list -}}
{{- $values := .Values -}}
{{- $weights := $values.weights -}}
{{- if $values.airGap.enabled -}}
{{- if and (eq $weights.source "huggingFace") (not $weights.endpoint) -}}
{{- $problems = append $problems "weights.source: huggingFace downloads from the internet, and airGap.enabled is true. Use a volume, an image or an objectStore, or name a mirror of the hub in weights.endpoint." -}}
{{- end -}}
{{- if and $weights.download.enabled (not $weights.endpoint) -}}
{{- $problems = append $problems "weights.download.enabled: true downloads from the internet, and airGap.enabled is true. Name a mirror of the hub in weights.endpoint, or fill the volume yourself." -}}
{{- end -}}
{{- if regexMatch "^https?://([^/]+[.])?(huggingface[.]co|hf[.]co|hf-mirror[.]com)(:|/|$)" ($weights.endpoint | default "") -}}
{{- $problems = append $problems (printf "weights.endpoint: %q is on the internet, and airGap.enabled is true. Name a mirror of your own." $weights.endpoint) -}}
{{- end -}}
{{- if and (eq $weights.source "objectStore") (not $weights.objectStore.endpoint) -}}
{{- $problems = append $problems "weights.objectStore.endpoint: null leads to Amazon's or Google's own address, and airGap.enabled is true. Name a store of your own, or the address of your private endpoint." -}}
{{- end -}}
{{- range $name, $value := pick $values.engine.env "HF_HUB_OFFLINE" "TRANSFORMERS_OFFLINE" -}}
{{- if not (has (lower $value) (list "1" "true" "yes" "on")) -}}
{{- $problems = append $problems (printf "engine.env.%s: %q allows downloads, and airGap.enabled is true. Leave it out." $name $value) -}}
{{- end -}}
{{- end -}}
{{- $registry := $values.global.imageRegistry -}}
{{- range $key := list "extraInitContainers" "extraContainers" -}}
{{- range $container := index $values $key -}}
{{- if and $registry (not (hasPrefix (printf "%s/" $registry) ($container.image | default ""))) -}}
{{- $problems = append $problems (printf "%s: %q comes from another registry than global.imageRegistry, and airGap.enabled is true. Write it with %s/ in front." $key $container.image $registry) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
