{{/* Where the weights come from, and how they get there. */}}

{{/*
The model argument of `vllm serve`: a name on the Hugging Face Hub, a directory, or an address in an object store.
Usage: include "vllm-multinode.weightsModel" .
Returns: the argument.
*/}}
{{- define "vllm-multinode.weightsModel" -}}
{{- $weights := .Values.weights -}}
{{- if eq $weights.source "huggingFace" -}}
{{- .Values.model.name -}}
{{- else if eq $weights.source "objectStore" -}}
{{- $weights.objectStore.uri -}}
{{- else if $weights.path -}}
{{- $weights.path -}}
{{- else if $weights.download.enabled -}}
{{- /* Each revision has its own directory, as pods of the previous revision may still read theirs. */ -}}
{{- printf "%s/%s/%s" $weights.mountPath (.Values.model.name | replace "/" "--") (.Values.model.revision | default "main" | replace "/" "--") -}}
{{- else -}}
{{- $weights.mountPath -}}
{{- end -}}
{{- end }}

{{/*
Whether each node fetches its weights over the network, at its own speed, before vLLM serves.
Usage: include "vllm-multinode.weightsAreRemote" .
Returns: true or false.
*/}}
{{- define "vllm-multinode.weightsAreRemote" -}}
{{- $weights := .Values.weights -}}
{{- or (has $weights.source (list "huggingFace" "objectStore")) (and $weights.download.enabled (eq $weights.volume.type "hostPath")) -}}
{{- end }}

{{/*
The name of the PersistentVolumeClaim with the weights.
Usage: include "vllm-multinode.weightsClaim" .
Returns: the name.
*/}}
{{- define "vllm-multinode.weightsClaim" -}}
{{- .Values.weights.volume.claimName | default (printf "%s-weights" (include "vllm-multinode.fullname" .)) -}}
{{- end }}

{{/*
The volumes of the weights and of the download's scripts.
Usage: include "vllm-multinode.weightsVolumes" .
Returns: YAML, a list, or nothing.
*/}}
{{- define "vllm-multinode.weightsVolumes" -}}
{{- $weights := .Values.weights -}}
{{- if ne $weights.source "objectStore" }}
- name: weights
  {{- if eq $weights.source "image" }}
  image:
    reference: {{ include "vllm-multinode.mirrored" (dict "root" . "reference" $weights.image.reference) }}
    pullPolicy: {{ $weights.image.pullPolicy }}
  {{- else }}
  {{- $claim := dict "claimName" (include "vllm-multinode.weightsClaim" .) }}
  {{- include "vllm-multinode.volumeSource" (mergeOverwrite (deepCopy $weights.volume) $claim) | nindent 2 }}
  {{- end }}
{{- end }}
{{- if $weights.download.enabled }}
- name: weights-scripts
  configMap:
    name: {{ include "vllm-multinode.fullname" . }}-weights
{{- end }}
{{- end }}

{{/*
The container that fills the volume, or waits until it is full. It runs vLLM's image as vLLM's user, but never has
capabilities, even where vLLM has some.
In a pod of a group, it stays after a failure, as LeaderWorkerSet recreates a group for a restart of any container.
Usage: include "vllm-multinode.weightsContainer" (dict "root" $ "script" "fill" "stays" true) | nindent 8
Returns: YAML, a list with one item.
*/}}
{{- define "vllm-multinode.weightsContainer" -}}
{{- $values := .root.Values -}}
{{- $download := $values.weights.download -}}
{{- $specification := dict
      "model" $values.model.name "revision" ($values.model.revision | default "main")
      "path" (include "vllm-multinode.weightsModel" .root) "exclude" $download.exclude "hashes" $download.verifyHashes
      "seconds" $download.timeoutSeconds "backoff" $values.startup.backoffSeconds -}}
{{- if .stays -}}
{{- $_ := set $specification "stays" true -}}
{{- end -}}
- name: weights
  image: {{ include "vllm-multinode.image" .root }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  command: [python3, -B, /etc/vllm-multinode-weights/{{ .script }}.py]
  env:
    - name: MULTINODE_WEIGHTS
      value: {{ toJson $specification | quote }}
    {{- if eq .script "fill" }}
    {{- $plain := dict "HOME" "/tmp" "HF_HOME" "/tmp/huggingface" "HF_XET_CHUNK_CACHE_SIZE_BYTES" "0" }}
    {{- with $values.weights.endpoint }}
    {{- $_ := set $plain "HF_ENDPOINT" . }}
    {{- end }}
    {{- range $name, $value := mergeOverwrite $plain $values.engine.env }}
    - name: {{ $name }}
      value: {{ $value | quote }}
    {{- end }}
    {{- include "vllm-multinode.huggingFaceVariables" .root | nindent 4 }}
    {{- with $values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- end }}
  resources:
    requests: {cpu: 500m, memory: 1Gi}
  securityContext:
    {{- include "vllm-multinode.containerSecurity" (dict "root" .root) | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - {name: weights-scripts, mountPath: /etc/vllm-multinode-weights, readOnly: true}
    - {name: tmp, mountPath: /tmp}
    - {name: weights, mountPath: {{ $values.weights.mountPath }}{{ ternary ", readOnly: true" "" (eq .script "wait") }}}
    {{- with $values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/*
The spec of the Job that fills the claim. A Job can't be changed, so its name holds a hash of its spec, and another
revision is another Job. A failed container is restarted after longer and longer pauses. It continues with the files
that are still missing, and by then the user may have corrected a Secret.
Usage: include "vllm-multinode.weightsJob" .
Returns: YAML, a map.
*/}}
{{- define "vllm-multinode.weightsJob" -}}
{{- $fabric := include "vllm-multinode.fabric" . | fromJson -}}
backoffLimit: 20
template:
  metadata:
    labels:
      {{- include "vllm-multinode.selectorLabels" . | nindent 6 }}
      app.kubernetes.io/component: weights
      sidecar.istio.io/inject: "false" # a Job with a service mesh's sidecar never completes
    annotations:
      linkerd.io/inject: disabled
      checksum/scripts: {{ (.Files.Glob "files/weights/*.py").AsConfig | sha256sum }}
  spec:
    restartPolicy: OnFailure
    {{- include "vllm-multinode.jobPod" . | nindent 4 }}
    securityContext:
      {{- include "vllm-multinode.podSecurity" (dict "root" . "fabric" $fabric) | nindent 6 }}
    containers:
      {{- include "vllm-multinode.weightsContainer" (dict "root" . "script" "fill") | nindent 6 }}
    volumes:
      - name: tmp
        emptyDir: {}
      {{- include "vllm-multinode.weightsVolumes" . | nindent 6 }}
      {{- with .Values.extraVolumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
{{- end }}
