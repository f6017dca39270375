{{/* Rules on the source of the weights. */}}

{{/*
Problems with weights: their volume and the download that fills it.
Usage: include "vllm-multinode.rules.weights" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.weights" -}}
{{- $problems := list -}}
{{- $weights := .Values.weights -}}
{{- $source := $weights.source -}}
{{- $volume := $weights.volume -}}
{{- $download := $weights.download.enabled -}}
{{- $inside := hasPrefix (printf "%s/" $weights.mountPath) (printf "%s/" $weights.path) -}}
{{- $example := printf "%s/DeepSeek-R1" $weights.mountPath -}}
{{- if eq $source "volume" -}}
{{- if eq $volume.type "emptyDir" -}}
{{- $problems = append $problems (dict "key" "weights.volume.type" "got" $volume.type
      "why" "is empty when a pod starts, but weights.source is volume"
      "fix" "Use hostPath or persistentVolumeClaim.") -}}
{{- end -}}
{{- if not (or $inside (and $download (not $weights.path))) -}}
{{- $problems = append $problems (dict "key" "weights.path" "got" $weights.path
      "why" "must be a directory in weights.mountPath, as vLLM stays offline with weights.source volume"
      "fix" (printf "Set the checkpoint's directory, such as %s." $example)) -}}
{{- end -}}
{{- else -}}
{{- if and $weights.path (ne $source "image") -}}
{{- $problems = append $problems (dict "key" "weights.path" "got" $weights.path
      "why" (printf "is not used with weights.source %s" $source)
      "fix" "Remove it, or set weights.source to volume.") -}}
{{- else if and $weights.path (not $inside) -}}
{{- $problems = append $problems (dict "key" "weights.path" "got" $weights.path
      "why" "must be a directory in weights.mountPath, where the image is mounted"
      "fix" (printf "Use a directory such as %s, or leave it unset." $example)) -}}
{{- end -}}
{{- if $download -}}
{{- $problems = append $problems (dict "key" "weights.download.enabled" "got" true
      "why" (printf "fills a volume, but weights.source is %s" $source)
      "fix" "Set weights.source to volume, or turn the download off.") -}}
{{- end -}}
{{- end -}}
{{- if and $weights.endpoint (not $download) (ne $source "huggingFace") -}}
{{- $problems = append $problems (dict "key" "weights.endpoint" "got" $weights.endpoint
      "why" "is not used, as nothing is downloaded"
      "fix" "Remove it, or set weights.download.enabled to true.") -}}
{{- end -}}
{{- if and $volume.create (not (and $download (eq $volume.type "persistentVolumeClaim"))) -}}
{{- $problems = append $problems (dict "key" "weights.volume.create" "got" true
      "why" "creates a claim that nothing fills"
      "fix" "Set weights.volume.type to persistentVolumeClaim and weights.download.enabled to true, or name an existing claim in weights.volume.claimName.") -}}
{{- end -}}
{{- if and $volume.create (not $volume.size) -}}
{{- $problems = append $problems (dict "key" "weights.volume.size" "got" $volume.size
      "why" "is required with weights.volume.create"
      "fix" "Use the checkpoint's size, which `vmn plan` prints, and a tenth more, such as 750Gi for DeepSeek-R1.") -}}
{{- end -}}
{{- if and $volume.storageClassName (not $volume.create) -}}
{{- $problems = append $problems (dict "key" "weights.volume.storageClassName" "got" $volume.storageClassName
      "why" "is used only for a claim that the chart creates"
      "fix" "Remove it, or set weights.volume.create to true.") -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}

{{/*
Problems with weights in an image or in an object store.
Usage: include "vllm-multinode.rules.stores" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.stores" -}}
{{- $problems := list -}}
{{- $weights := .Values.weights -}}
{{- range $source, $key := dict "image" "reference" "objectStore" "uri" -}}
{{- $value := index $weights $source $key -}}
{{- $problem := dict "key" (printf "weights.%s.%s" $source $key) "got" ($value | default nil) -}}
{{- if and (eq $weights.source $source) (not $value) -}}
{{- $problems = append $problems (merge (dict
      "why" (printf "is required with weights.source %s" $source)
      "fix" "Set it, or choose another source.") $problem) -}}
{{- else if and (ne $weights.source $source) $value -}}
{{- $problems = append $problems (merge (dict
      "why" (printf "is not used with weights.source %s" $weights.source)
      "fix" (printf "Remove it, or set weights.source to %s." $source)) $problem) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "endpoint" "existingSecret" -}}
{{- $value := index $weights.objectStore $key -}}
{{- if and $value (not (hasPrefix "s3://" ($weights.objectStore.uri | default ""))) -}}
{{- $problems = append $problems (dict "key" (printf "weights.objectStore.%s" $key) "got" $value
      "why" "is used only for S3, but weights.objectStore.uri is not an address in S3"
      "fix" "Remove it. Access to Google Cloud Storage comes with serviceAccount.annotations.") -}}
{{- end -}}
{{- end -}}
{{- $kubernetes := .Capabilities.KubeVersion.Version -}}
{{- if and (eq $weights.source "image") (semverCompare "<1.35.0-0" $kubernetes) -}}
{{- $problems = append $problems (dict "key" "weights.source" "got" "image"
      "why" (printf "requires Kubernetes 1.35 or newer: %s silently drops image volumes" $kubernetes)
      "fix" "Upgrade the cluster, or use a volume. Without a cluster, pass --kube-version to helm template.") -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
