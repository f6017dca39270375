{{/* Rules on weights that stay in GPU memory during a restart in place. */}}

{{/*
Problems with group.inPlaceRestart.keepWeights: what vLLM's weight daemons and the loader ipc_cache refuse, or would do
wrong. Sources: vLLM 0.33, entrypoints/cli/preload.py, model_executor/model_loader/weight_cache, and the attribute
supports_pre_processed_weights of the quantization methods; vLLM 0.32 for what differs there.
Usage: include "vllm-multinode.rules.keptWeights" . | fromJsonArray
Returns: JSON, a list of problems.
*/}}
{{- define "vllm-multinode.rules.keptWeights" -}}
{{- $problems := list -}}
{{- $values := .Values -}}
{{- if $values.group.inPlaceRestart.keepWeights -}}
{{- $problem := dict "key" "group.inPlaceRestart.keepWeights" "got" true -}}
{{- if not $values.group.inPlaceRestart.enabled -}}
{{- $problems = append $problems (merge (dict
      "why" "keeps the weights during restarts in place, which are off"
      "fix" "Set group.inPlaceRestart.enabled to true, or remove it.") $problem) -}}
{{- end -}}
{{- if not $values.group.gpuResource -}}
{{- $problems = append $problems (merge (dict
      "why" "is refused by vLLM's CPU build, which can't share memory of a GPU, but group.gpuResource is null"
      "fix" "Remove it.") $problem) -}}
{{- end -}}
{{- $version := include "vllm-multinode.vllmVersion" . -}}
{{- if and $version (semverCompare "<0.33-0" $version) -}}
{{- $problems = append $problems (merge (dict
      "why" (printf "needs vLLM 0.33 or newer, but the image has %s: the weight daemons of 0.32 keep GPU memory that no process counts, and do not compare how the experts are divided" $version)
      "fix" "Use a newer image, or remove it.") $problem) -}}
{{- end -}}
{{- if eq $values.weights.source "objectStore" -}}
{{- $problems = append $problems (dict "key" "weights.source" "got" "objectStore"
      "why" "streams the weights into the engine, which takes them from weight daemons with group.inPlaceRestart.keepWeights"
      "fix" "Use another source, or remove keepWeights.") -}}
{{- end -}}
{{- /* Of 0.33. What is not listed can be in a form that the daemons accept: the checkpoint decides, and they say it. */ -}}
{{- $refused := list "auto_awq" "auto_gptq" "awq" "awq_marlin" "compressed-tensors" "experts_int8" "fbgemm_fp8" "fp8_per_block"
      "fp8_per_channel" "fp8_per_tensor" "fp_quant" "gpt_oss_mxfp4" "gptq" "gptq_marlin" "humming" "inc"
      "int8_per_channel_weight_only" "modelopt" "moe_wna16" "nvfp4_per_token" "online" "quark" "torchao" -}}
{{- if and (eq $version "0.33") (has $values.model.quantization $refused) -}}
{{- $problems = append $problems (dict "key" "model.quantization" "got" $values.model.quantization
      "why" "is a method whose weights vLLM 0.33 can't take from weight daemons (group.inPlaceRestart.keepWeights)"
      "fix" "Use a checkpoint without quantization, or one in FP8 with blocks, MXFP4, or NVFP4 of Model Optimizer; or remove keepWeights.") -}}
{{- end -}}
{{- range $name, $value := $values.engine.args -}}
{{- $flag := dict "key" $name "value" $value -}}
{{- $one := dict "key" (printf "engine.args.%s" $name) "got" $value "fix" "Remove one of the two." -}}
{{- range $refusal := list
      (list "load-format" "loa" "chooses how weights are loaded, but with group.inPlaceRestart.keepWeights the weight daemons load them")
      (list "model-loader-extra-config" "model-l" "is for a loader of weights, but with group.inPlaceRestart.keepWeights the chart sets it")
      (list "config" "config" "names a file of flags that the weight daemons of group.inPlaceRestart.keepWeights do not read")
      (list "enable-eplb" "enable-epl" "moves experts between GPUs, which vLLM refuses with weights in other processes (group.inPlaceRestart.keepWeights)")
      (list "enable-sleep-mode" "enable-sle" "moves weights out of GPU memory, which vLLM can't do with weights in other processes (group.inPlaceRestart.keepWeights)") -}}
{{- $set := include "vllm-multinode.setsFlag" (merge (dict "flag" (index $refusal 0) "shortest" (index $refusal 1)) $flag) -}}
{{- if and $set (ne (toString $value) "false") -}}
{{- $problems = append $problems (merge (dict "why" (index $refusal 2)) $one) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}
