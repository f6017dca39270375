{{/* Environment variables with plain values: settings of the scripts, of vLLM, of its caches and of NCCL. */}}

{{/*
Variables with plain values: the chart's, with engine.env on top.
Usage: include "vllm-multinode.plainEnvironment" . | fromJson
Returns: JSON, a map of strings.
*/}}
{{- define "vllm-multinode.plainEnvironment" -}}
{{- $values := .Values -}}
{{- $layout := include "vllm-multinode.layout" . | fromJson -}}
{{- $cache := printf "/cache/%s" (include "vllm-multinode.cacheKey" .) -}}
{{- $env := dict
      "MULTINODE_BACKEND" $values.engine.backend
      "MULTINODE_PORT" $values.engine.port
      "MULTINODE_MASTER_PORT" $values.engine.masterPort
      "MULTINODE_LEADER_ADDRESS_SECONDS" $values.startup.leaderAddressSeconds
      "MULTINODE_BACKOFF_SECONDS" $values.startup.backoffSeconds
      "MULTINODE_PRESTOP_SECONDS" $values.shutdown.preStopSeconds
      "MULTINODE_DRAIN_SECONDS" $values.shutdown.drainSeconds
      "MULTINODE_WORKER_LOSS_SECONDS" ($values.probes.workerLossSeconds | default 0)
      "MULTINODE_FAILURES" "/cache/failures"
      "MULTINODE_CACHE" $cache
      "MULTINODE_SHARED_FILESYSTEM" (ternary "yes" "no" $values.cache.sharedFilesystem)
      "VLLM_ENGINE_READY_TIMEOUT_S" (include "vllm-multinode.startupSeconds" .)
      "VLLM_NO_USAGE_STATS" 1
      "DO_NOT_TRACK" 1
      "NCCL_DEBUG" $values.logging.nccl
      "USER" "vllm"
      "LOGNAME" "vllm" -}}
{{- /* Every cache of a start, measured on an H200; what is left out lands in HOME. */ -}}
{{- range $name, $folder := dict
      "HOME" "home"
      "XDG_CACHE_HOME" "home/.cache"
      "VLLM_CACHE_ROOT" "vllm"
      "DG_JIT_CACHE_DIR" "deep_gemm"
      "TRTLLM_DG_CACHE_DIR" "trtllm_dg"
      "TRITON_CACHE_DIR" "triton"
      "TORCHINDUCTOR_CACHE_DIR" "inductor"
      "TORCH_EXTENSIONS_DIR" "torch_extensions"
      "FLASHINFER_WORKSPACE_BASE" "flashinfer"
      "HUMMING_CACHE_DIR" "humming"
      "TILELANG_CACHE_DIR" "tilelang"
      "CUDA_CACHE_PATH" "cuda" -}}
{{- $_ := set $env $name (printf "%s/%s" $cache $folder) -}}
{{- end -}}
{{- if $values.cache.bundle.type -}}
{{- $_ := set $env "MULTINODE_BUNDLE" "/bundle" -}}
{{- end -}}
{{- if gt (int $layout.data) 1 -}}
{{- $_ := set $env "MULTINODE_DATA_PARALLEL_LOCAL" $layout.dataLocal -}}
{{- end -}}
{{- if eq $values.weights.source "huggingFace" -}}
{{- $_ := set $env "HF_HOME" (printf "%s/huggingface" $values.weights.mountPath) -}}
{{- with $values.weights.endpoint -}}
{{- $_ := set $env "HF_ENDPOINT" . -}}
{{- end -}}
{{- else -}}
{{- $env = merge $env (dict "HF_HUB_OFFLINE" 1 "TRANSFORMERS_OFFLINE" 1) -}}
{{- end -}}
{{- with $values.weights.objectStore.endpoint -}}
{{- /* A store of one's own knows no names of buckets in DNS, and no metadata service of Amazon's. */ -}}
{{- $env = merge $env (dict "AWS_ENDPOINT_URL" . "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING" 0 "AWS_EC2_METADATA_DISABLED" "true") -}}
{{- end -}}
{{- if ne $values.logging.level "INFO" -}}
{{- $_ := set $env "VLLM_LOGGING_LEVEL" $values.logging.level -}}
{{- end -}}
{{- if $values.tracing.endpoint -}}
{{- $env = merge $env (dict "OTEL_SERVICE_NAME" (include "vllm-multinode.fullname" .)
      "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" $values.tracing.protocol) -}}
{{- end -}}
{{- $env = merge $env (include "vllm-multinode.fabricEnvironment" . | fromJson) -}}
{{- range $name, $value := $env -}}
{{- $_ := set $env $name (toString $value) -}}
{{- end -}}
{{- mergeOverwrite $env $values.engine.env | toJson -}}
{{- end }}

{{/*
Port of an address.
Usage: include "vllm-multinode.portOf" "https://hub.example.com"
Returns: the number: what it says, else 443, or 80 for http.
*/}}
{{- define "vllm-multinode.portOf" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "80" "443" (eq $url.scheme "http")) -}}
{{- end }}
