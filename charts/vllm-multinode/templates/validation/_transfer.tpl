{{/* Rules on the KV cache's way between groups. */}}

{{/*
Problems with connectors of the KV cache, as vLLM 0.32 and 0.33 refuse them at the start: NixlBaseConnectorWorker
(distributed/kv_transfer/kv_connector/v1/nixl/base_worker.py), NixlPushConnector (connector.py there, push_scheduler.py),
and VllmConfig (config/vllm.py). A pull from pipeline stages fails later, at each handshake, as
_validate_remote_agent_handshake wants as many layers on both sides. Other versions may differ, and a connector of a module
of its own is not known.
Usage: include "vllm-multinode.rules.transfer" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.transfer" -}}
{{- $problems := list -}}
{{- $version := include "vllm-multinode.vllmVersion" . -}}
{{- $engine := .Values.engine -}}
{{- $given := include "vllm-multinode.jsonFlag" (dict "args" $engine.args "flag" "kv-transfer-config" "shortest" "kv-t") | fromJson -}}
{{- if and $given (has $version (list "0.32" "0.33")) -}}
{{- $key := printf "engine.args.%s" $given.name -}}
{{- $layout := include "vllm-multinode.layout" . | fromJson -}}
{{- $stages := int $layout.pipeline -}}
{{- $shards := int (.Values.parallelism.decodeContext | default 1) -}}
{{- $oneStage := "Set parallelism.pipeline: 1, and divide the GPUs by tensor or data parallelism" -}}
{{- range $connector := include "vllm-multinode.connectors" $given.value | fromJsonArray -}}
{{- $name := $connector.kv_connector -}}
{{- $isPush := eq $name "NixlPushConnector" -}}
{{- $isNixl := or $isPush (has $name (list "NixlConnector" "NixlPullConnector")) -}}
{{- if and $isNixl (gt $stages 1) (eq $connector.kv_role "kv_consumer") -}}
{{- $problems = append $problems (dict "key" $key "got" $connector.kv_role
      "why" (printf "receives the KV cache with %s, but this layout has %d pipeline stages, with which vLLM %s does not start" $name $stages $version)
      "fix" (printf "%s." $oneStage)) -}}
{{- else if and $isNixl (not $isPush) (gt $stages 1) -}}
{{- $problems = append $problems (dict "key" $key "got" $name
      "why" (printf "can't send the KV cache of %d pipeline stages: in vLLM %s, each transfer to the other group fails" $stages $version)
      "fix" (printf "%s, or use NixlPushConnector in both releases." $oneStage)) -}}
{{- end -}}
{{- if and $isPush (gt $shards 1) -}}
{{- $problems = append $problems (dict "key" "parallelism.decodeContext" "got" $shards
      "why" (printf "can't be combined with NixlPushConnector in vLLM %s" $version)
      "fix" "Leave it unset, or use NixlConnector.") -}}
{{- else if and (eq $name "NixlConnector") (gt $shards 1) (ne $shards (int $layout.tensor)) -}}
{{- $problems = append $problems (dict "key" "parallelism.decodeContext" "got" $shards
      "why" (printf "must be 1 or the tensor parallel size, which is %d, with NixlConnector in vLLM %s" (int $layout.tensor) $version)
      "fix" (printf "Use %d, or leave it unset." (int $layout.tensor))) -}}
{{- end -}}
{{- if and $isPush (dig "kv_connector_extra_config" "bidirectional_kv_xfer" false $connector) -}}
{{- $problems = append $problems (dict "key" $key "got" "bidirectional_kv_xfer"
      "why" (printf "can't be combined with NixlPushConnector in vLLM %s" $version)
      "fix" "Remove it, or use NixlConnector.") -}}
{{- end -}}
{{- end -}}
{{- $allocator := include "vllm-multinode.allocator" . -}}
{{- $isPinned := include "vllm-multinode.memoryIsPinned" $engine.args -}}
{{- if and $given.value.kv_connector (contains "expandable_segments:True" $allocator) (not $isPinned) -}}
{{- $problems = append $problems (dict "key" $key "got" $given.value.kv_connector
      "why" (printf "needs a KV cache that stays where it is, but PYTORCH_CUDA_ALLOC_CONF has expandable_segments:True, with which vLLM %s does not start" $version)
      "fix" "Remove that from engine.env or extraEnv, or set enable-cumem-allocator: true in engine.args.") -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}

{{/*
The connectors of a --kv-transfer-config: itself, or those that a MultiConnector combines. Each has a name and a role, and
none is from a module that vLLM does not have.
Usage: include "vllm-multinode.connectors" $config | fromJsonArray
Returns: JSON, a list of maps.
*/}}
{{- define "vllm-multinode.connectors" -}}
{{- $all := list . -}}
{{- if eq (toString .kv_connector) "MultiConnector" -}}
{{- $extra := include "vllm-multinode.readJson" .kv_connector_extra_config | fromJson | dig "read" dict | default dict -}}
{{- $inner := include "vllm-multinode.readJson" (dig "connectors" list $extra) | fromJson | dig "read" list -}}
{{- $all = ternary $inner list (kindIs "slice" $inner) -}}
{{- end -}}
{{- $known := list -}}
{{- range $all -}}
{{- if kindIs "map" . -}}
{{- $named := and (kindIs "string" .kv_connector) (kindIs "string" .kv_role) (not .kv_connector_module_path) -}}
{{- $extra := ternary .kv_connector_extra_config dict (kindIs "map" .kv_connector_extra_config) -}}
{{- $known = ternary (append $known (merge (dict "kv_connector_extra_config" $extra) .)) $known $named -}}
{{- end -}}
{{- end -}}
{{- toJson $known -}}
{{- end }}

{{/*
PYTORCH_CUDA_ALLOC_CONF, as the pods get it: extraEnv comes last.
Usage: include "vllm-multinode.allocator" .
Returns: the variable's value, or nothing.
*/}}
{{- define "vllm-multinode.allocator" -}}
{{- $value := index .Values.engine.env "PYTORCH_CUDA_ALLOC_CONF" | default "" -}}
{{- range .Values.extraEnv -}}
{{- if eq (toString .name) "PYTORCH_CUDA_ALLOC_CONF" -}}
{{- $value = .value | default "" -}}
{{- end -}}
{{- end -}}
{{- $value -}}
{{- end }}
