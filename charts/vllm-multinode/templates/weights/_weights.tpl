{{/* Where the weights come from, and what brings them there. */}}

{{/*
What vLLM is told to serve: a name on the hub, a folder, or an address in an object store.
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
{{- /* A folder for each revision: pods of the last one still read theirs. */ -}}
{{- printf "%s/%s/%s" $weights.mountPath (.Values.model.name | replace "/" "--") (.Values.model.revision | default "main" | replace "/" "--") -}}
{{- else -}}
{{- $weights.mountPath -}}
{{- end -}}
{{- end }}

{{/*
Whether each node brings its weights over the network before vLLM serves, at its own speed.
Usage: include "vllm-multinode.weightsAreRemote" .
Returns: true or false.
*/}}
{{- define "vllm-multinode.weightsAreRemote" -}}
{{- $weights := .Values.weights -}}
{{- or (has $weights.source (list "huggingFace" "objectStore")) (and $weights.download.enabled (eq $weights.volume.type "hostPath")) -}}
{{- end }}

{{/*
The claim that holds the weights.
Usage: include "vllm-multinode.weightsClaim" .
Returns: its name.
*/}}
{{- define "vllm-multinode.weightsClaim" -}}
{{- .Values.weights.volume.claimName | default (printf "%s-weights" (include "vllm-multinode.fullname" .)) -}}
{{- end }}

{{/*
Volumes of the weights, and of the scripts that bring them.
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
The container that fills the volume, or waits until it is full, in the image and as the user of vLLM. It has no
capabilities, also where vLLM has one.
Usage: include "vllm-multinode.weightsContainer" (dict "root" $ "script" "fill") | nindent 8
Returns: YAML, a list of one.
*/}}
{{- define "vllm-multinode.weightsContainer" -}}
{{- $values := .root.Values -}}
{{- $download := $values.weights.download -}}
{{- $asked := dict
      "model" $values.model.name "revision" ($values.model.revision | default "main")
      "path" (include "vllm-multinode.weightsModel" .root) "exclude" $download.exclude "hashes" $download.verifyHashes
      "seconds" $download.timeoutSeconds "backoff" $values.startup.backoffSeconds -}}
- name: weights
  image: {{ include "vllm-multinode.image" .root }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  command: [python3, -B, /etc/vllm-multinode-weights/{{ .script }}.py]
  env:
    - name: MULTINODE_WEIGHTS
      value: {{ toJson $asked | quote }}
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
    {{- mergeOverwrite (dict "allowPrivilegeEscalation" false "capabilities" (dict "drop" (list "ALL"))) $values.security.containerSecurityContext | toYaml | nindent 4 }}
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
The Job that fills the claim. Its name has a hash of all that it is: a Job can't be changed, and another revision is
another Job.
Usage: include "vllm-multinode.weightsJob" . | fromYaml
Returns: YAML {name, spec}.
*/}}
{{- define "vllm-multinode.weightsJob" -}}
{{- $spec := include "vllm-multinode.weightsJobSpec" . -}}
name: {{ printf "%s-weights-%s" (include "vllm-multinode.fullname" .) (sha256sum $spec | trunc 8) }}
spec:
  {{- $spec | nindent 2 }}
{{- end }}
