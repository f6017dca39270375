{{/* The version of vLLM in the image, and flags that take JSON. */}}

{{/*
The version of vLLM, by the tag of the image. There is none for an image that is not as vLLM or this project publishes it,
for a digest without a tag, and for a tag that is not a version; `vmn validate` sees the same.
Usage: include "vllm-multinode.vllmVersion" .
Returns: major and minor version, such as 0.33, or nothing.
*/}}
{{- define "vllm-multinode.vllmVersion" -}}
{{- $image := .Values.image -}}
{{- $tag := include "vllm-multinode.tag" . -}}
{{- if and (regexMatch "(^|/)vllm-(openai|ray)$" $image.repository) (or $image.tag (not $image.digest)) (regexMatch "^v?[0-9]+[.][0-9]+([.-].*)?$" $tag) -}}
{{- regexFind "[0-9]+[.][0-9]+" $tag -}}
{{- end -}}
{{- end }}

{{/*
A flag of engine.args that takes JSON, in each form that vLLM reads: a map, JSON, its keys one by one, a short name.
Usage: include "vllm-multinode.jsonFlag" (dict "args" .Values.engine.args "flag" "kv-transfer-config" "shortest" "kv-t") | fromJson
Returns: JSON {name (the key in engine.args, the first if there are several), value (a map)}, empty without the flag.
*/}}
{{- define "vllm-multinode.jsonFlag" -}}
{{- $names := list -}}
{{- $value := dict -}}
{{- range $name, $given := .args -}}
{{- $keys := splitList "." $name -}}
{{- if include "vllm-multinode.setsFlag" (dict "key" $name "value" $given "flag" $.flag "shortest" $.shortest) -}}
{{- $inner := include "vllm-multinode.readJson" $given | fromJson | dig "read" "" -}}
{{- range $key := rest $keys | reverse -}}
{{- $inner = dict (trimSuffix "+" $key) $inner -}}
{{- end -}}
{{- if kindIs "map" $inner -}}
{{- $names = append $names $name -}}
{{- $value = mergeOverwrite $value $inner -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- ternary (dict "name" (first $names) "value" $value) dict (not (empty $names)) | toJson -}}
{{- end }}

{{/*
Whether a key of engine.args sets a flag that takes JSON, as a whole or in parts; null leaves the flag out.
Usage: include "vllm-multinode.setsFlag" (dict "key" $key "value" $value "flag" "kv-transfer-config" "shortest" "kv-t")
Returns: true, or nothing.
*/}}
{{- define "vllm-multinode.setsFlag" -}}
{{- $name := splitList "." .key | first -}}
{{- if and (hasPrefix .shortest $name) (hasPrefix $name .flag) (not (kindIs "invalid" .value)) -}}
true
{{- end -}}
{{- end }}

{{/*
Whether vLLM allocates GPU memory itself, in which the KV cache stays where it is whatever PyTorch's allocator does.
Usage: include "vllm-multinode.memoryIsPinned" .Values.engine.args
Returns: true, or nothing.
*/}}
{{- define "vllm-multinode.memoryIsPinned" -}}
{{- if or (index . "enable-sleep-mode") (index . "enable-cumem-allocator") -}}
true
{{- end -}}
{{- end }}

{{/*
A value that may be JSON in a text: a map or a list.
Usage: include "vllm-multinode.readJson" $value | fromJson
Returns: JSON {read (the map or the list that the text stands for, otherwise the value itself)}.
*/}}
{{- define "vllm-multinode.readJson" -}}
{{- $read := . -}}
{{- if kindIs "string" . -}}
{{- if regexMatch "^\\s*[{]" . -}}
{{- $read = fromJson . -}}
{{- else if regexMatch "^\\s*[[]" . -}}
{{- $read = fromJsonArray . -}}
{{- end -}}
{{- end -}}
{{- dict "read" $read | toJson -}}
{{- end }}

{{/*
What engine.speculativeTokens stands for.
Usage: include "vllm-multinode.speculation" . | fromJson
Returns: JSON, the fields of --speculative-config, empty without speculative decoding.
*/}}
{{- define "vllm-multinode.speculation" -}}
{{- $tokens := .Values.engine.speculativeTokens -}}
{{- ternary (dict "method" "mtp" "num_speculative_tokens" $tokens) dict (not (empty $tokens)) | toJson -}}
{{- end }}
