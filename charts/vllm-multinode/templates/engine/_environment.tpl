{{/* Environment variables of vLLM's container, the same for both roles. */}}

{{/*
All variables. VLLM_HOST_IP comes from the pod: without it vLLM looks up the route to a public address, which fails in
air-gapped pods and finds the wrong address in pods with several networks.
Usage: include "vllm-multinode.environment" (dict "root" $ "fabric" $fabric) | nindent 4
Returns: YAML, a list.
*/}}
{{- define "vllm-multinode.environment" -}}
{{- $values := .root.Values -}}
- name: VLLM_HOST_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- range $name, $value := include "vllm-multinode.plainEnvironment" . | fromJson }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- include "vllm-multinode.huggingFaceVariables" .root }}
{{- with $values.weights.objectStore.existingSecret }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
{{ include "vllm-multinode.secretVariable" (dict "name" . "secret" $values.weights.objectStore.existingSecret "key" .) }}
{{- end }}
{{- end }}
{{- with include "vllm-multinode.apiKeyVariable" .root }}
{{ . }}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
Variables with plain values: settings of the scripts, of vLLM, of its caches, and of NCCL. engine.env overrides them.
Usage: include "vllm-multinode.plainEnvironment" (dict "root" $ "fabric" $fabric) | fromJson
Returns: JSON, a map of strings.
*/}}
{{- define "vllm-multinode.plainEnvironment" -}}
{{- $values := .root.Values -}}
{{- $layout := include "vllm-multinode.layout" .root | fromJson -}}
{{- $cache := printf "/cache/%s" (include "vllm-multinode.cacheKey" .root) -}}
{{- $env := dict
      "MULTINODE_BACKEND" $values.engine.backend
      "MULTINODE_PORT" $values.engine.port
      "MULTINODE_MASTER_PORT" $values.engine.masterPort
      "MULTINODE_LEADER_ADDRESS_SECONDS" $values.startup.leaderAddressSeconds
      "MULTINODE_BACKOFF_SECONDS" $values.startup.backoffSeconds
      "MULTINODE_PRESTOP_SECONDS" $values.shutdown.preStopSeconds
      "MULTINODE_DRAIN_SECONDS" $values.shutdown.drainSeconds
      "MULTINODE_WORKER_LOSS_SECONDS" ($values.probes.workerLossSeconds | default 0)
      "MULTINODE_SERVER_HANG_SECONDS" ($values.probes.serverHangSeconds | default 0)
      "MULTINODE_STALLED_SECONDS" ($values.probes.stalledSeconds | default 0)
      "MULTINODE_FAILURES" "/cache/failures"
      "MULTINODE_CACHE" $cache
      "MULTINODE_SHARED_FILESYSTEM" (ternary "yes" "no" $values.cache.sharedFilesystem)
      "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS" $values.probes.stepSeconds
      "VLLM_ENGINE_READY_TIMEOUT_S" (include "vllm-multinode.startupSeconds" .root)
      "VLLM_NO_USAGE_STATS" 1
      "DO_NOT_TRACK" 1
      "NO_COLOR" 1
      "NCCL_DEBUG" $values.logging.nccl
      "USER" "vllm"
      "LOGNAME" "vllm" -}}
{{- /* Every cache that a start on an H200 wrote. Programs with a cache that is not listed use HOME. */ -}}
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
{{- /* Forked processes share one import of vLLM, where spawned ones import it one after the other. `vllm serve` spawns
       unless it is told, as some devices need that, and vLLM's own check refuses to fork with this flag. */ -}}
{{- if and (hasPrefix "nvidia.com/" ($values.group.gpuResource | default "")) (ne (get $values.engine.args "mm-tensor-ipc") "torch_shm") -}}
{{- $_ := set $env "VLLM_WORKER_MULTIPROC_METHOD" "fork" -}}
{{- end -}}
{{- if gt (int $layout.data) 1 -}}
{{- $_ := set $env "MULTINODE_DATA_PARALLEL_LOCAL" $layout.dataLocal -}}
{{- end -}}
{{- $servers := include "vllm-multinode.servers" .root | fromJson -}}
{{- if $servers.everyPod -}}
{{- $numbers := list -}}
{{- range $servers.ports -}}
{{- $numbers = append $numbers .number -}}
{{- end -}}
{{- $env = merge $env (dict "MULTINODE_LOAD_BALANCER" $values.parallelism.dataLoadBalancer
      "MULTINODE_PORTS" (join " " $numbers) "MULTINODE_HEALTH_PORT" $servers.health.number) -}}
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
{{- /* A private store has no bucket names in DNS and no metadata service of Amazon's. */ -}}
{{- $env = merge $env (dict "AWS_ENDPOINT_URL" . "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING" 0 "AWS_EC2_METADATA_DISABLED" "true") -}}
{{- end -}}
{{- if ne $values.logging.level "INFO" -}}
{{- $_ := set $env "VLLM_LOGGING_LEVEL" $values.logging.level -}}
{{- end -}}
{{- if $values.tracing.endpoint -}}
{{- $env = merge $env (dict "OTEL_SERVICE_NAME" (include "vllm-multinode.fullname" .root)
      "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" $values.tracing.protocol) -}}
{{- end -}}
{{- $env = merge $env (include "vllm-multinode.fabricEnvironment" . | fromJson) (include "vllm-multinode.restartEnvironment" . | fromJson) -}}
{{- range $name, $value := $env -}}
{{- $_ := set $env $name (toString $value) -}}
{{- end -}}
{{- mergeOverwrite $env $values.engine.env | toJson -}}
{{- end }}
