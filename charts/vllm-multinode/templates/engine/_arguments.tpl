{{/* The arguments of `vllm serve`, the same for both roles. */}}

{{/*
Command-line words for a map of flags: true becomes --flag, false --no-flag, null nothing, a list several words, a map
JSON. Each value of --flag.key is one word, which vLLM reads as JSON.
Usage: include "vllm-multinode.flags" $map | fromJsonArray
Returns: JSON, a list of strings, sorted by flag.
*/}}
{{- define "vllm-multinode.flags" -}}
{{- $words := list -}}
{{- range $name, $value := . -}}
{{- $flag := printf "--%s" $name -}}
{{- if and (contains "." $name) (not (kindIs "invalid" $value)) -}}{{- /* a key of the flag's JSON: one word */ -}}
{{- $items := and (hasSuffix "+" $name) (kindIs "slice" $value) -}}
{{- $word := $items | ternary (join "," $value) (ternary $value (toJson $value) (kindIs "string" $value)) -}}
{{- $words = concat $words (list $flag $word) -}}
{{- else if kindIs "bool" $value -}}
{{- $words = append $words (ternary $flag (printf "--no-%s" $name) $value) -}}
{{- else if kindIs "slice" $value -}}
{{- $repeated := eq $name "middleware" -}}{{- /* vLLM's only flag that is repeated for each item */ -}}
{{- range $index, $item := $value -}}
{{- $words = concat $words (ternary (list $flag) list (or $repeated (eq $index 0))) -}}
{{- $words = append $words (ternary $item (toJson $item) (kindIs "string" $item)) -}}
{{- end -}}
{{- else if kindIs "string" $value -}}
{{- $words = concat $words (list $flag $value) -}}
{{- else if not (kindIs "invalid" $value) -}}
{{- $words = concat $words (list $flag (toJson $value)) -}}
{{- end -}}
{{- end -}}
{{- toJson $words -}}
{{- end }}

{{/*
All arguments: the model, then the flags. engine.args overrides the flags in $derived; a rule refuses the others there,
as each has a value of its own.
Usage: include "vllm-multinode.arguments" . | nindent 4
Returns: YAML, a list of strings.
*/}}
{{- define "vllm-multinode.arguments" -}}
{{- $values := .Values -}}
{{- $layout := include "vllm-multinode.layout" . | fromJson -}}
{{- $servers := include "vllm-multinode.servers" . | fromJson -}}
{{- $external := eq $values.parallelism.dataLoadBalancer "external" -}}
{{- $model := include "vllm-multinode.weightsModel" . -}}
{{- $isPath := ne $values.weights.source "huggingFace" -}}{{- /* so the model's name must be given separately */ -}}
{{- $served := $values.model.servedName | default (ternary $values.model.name nil $isPath) -}}
{{- $flags := dict
      "served-model-name" $served
      "revision" (ternary nil $values.model.revision (or $values.weights.download.enabled (has $values.weights.source (list "image" "objectStore"))))
      "max-model-len" $values.model.maxLength
      "dtype" $values.model.dtype
      "quantization" $values.model.quantization
      "trust-remote-code" ($values.model.trustRemoteCode | default nil)
      "port" $values.engine.port
      "tensor-parallel-size" $layout.tensor
      "pipeline-parallel-size" $layout.pipeline
      "data-parallel-size" (ternary $layout.data nil (gt (int $layout.data) 1))
      "data-parallel-hybrid-lb" (ternary true nil (eq $values.parallelism.dataLoadBalancer "hybrid"))
      "data-parallel-external-lb" (ternary true nil (and $external (not $servers.supervised)))
      "data-parallel-multi-port-external-lb" (ternary true nil $servers.supervised)
      "data-parallel-supervisor-port" (ternary $values.engine.supervisorPort nil $servers.supervised)
      "enable-expert-parallel" ($values.parallelism.expert | default nil)
      "kv-offloading-size" ((include "vllm-multinode.offloading" . | fromJson).gibibytes | default nil)
      "decode-context-parallel-size" $values.parallelism.decodeContext
      "speculative-config" (include "vllm-multinode.speculation" . | fromJson | default nil)
      "shutdown-timeout" $values.shutdown.drainSeconds
      "otlp-traces-endpoint" $values.tracing.endpoint
      "collect-detailed-traces" ($values.tracing.detail | default nil)
      "enable-log-requests" ($values.logging.requests | default nil)
      "logging-config" (ternary (dict "formatter" "json") nil (eq $values.logging.format "json"))
      "distributed-executor-backend" (ternary "ray" nil (eq $values.engine.backend "ray")) -}}
{{- /* Ranks meet after loading the weights. On slow or unequal disks that takes longer than torch's default of 600 s, and with
       a download up to the startup budget. The same number limits how long a worker waits for a leader that is gone. */ -}}
{{- $meeting := ternary (include "vllm-multinode.startupSeconds" . | int) 1800 (eq (include "vllm-multinode.weightsAreRemote" .) "true") -}}
{{- $derived := ternary (dict) (dict "distributed-timeout-seconds" $meeting) (eq (int $values.group.nodes) 1) -}}
{{- if $servers.supervised -}}
{{- /* The supervisor ends all servers of a pod when one does not answer. By default it waits 25 s, but a busy server may
       need 40 s (vllm#38157), so it waits as long as the liveness probe. It asks again 5 s after a failure. */ -}}
{{- $liveness := $values.probes.liveness -}}
{{- $times := max 1 (div (mul $liveness.periodSeconds $liveness.failureThreshold) (add $liveness.timeoutSeconds 5)) -}}
{{- $derived = merge $derived (dict "dp-supervisor-probe-timeout-s" $liveness.timeoutSeconds
      "dp-supervisor-probe-failure-threshold" $times) -}}
{{- end -}}
{{- if eq $values.weights.source "objectStore" -}}
{{- $_ := set $derived "load-format" "runai_streamer" -}}
{{- end -}}
{{- $own := include "vllm-multinode.flags" $flags | fromJsonArray -}}
{{- $users := include "vllm-multinode.flags" (mergeOverwrite $derived $values.engine.args) | fromJsonArray -}}
{{- concat (list $model) $own $users | toYaml -}}
{{- end }}
