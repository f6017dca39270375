{{/* Arithmetic with Kubernetes quantities. */}}

{{/*
A Kubernetes quantity as a number of bytes, so that two of them can be compared.
Usage: include "vllm-multinode.bytes" "20Gi"
Returns: the number, with three decimals.
*/}}
{{- define "vllm-multinode.bytes" -}}
{{- $unit := regexFind "[a-zA-Z]+$" . -}}
{{- $factor := 1.0 -}}
{{- if eq $unit "m" -}}
{{- $factor = 0.001 -}}
{{- else if $unit -}}
{{- $base := ternary 1024.0 1000.0 (hasSuffix "i" $unit) -}}
{{- range until (add1 (int (index (dict "K" 0 "M" 1 "G" 2 "T" 3 "P" 4 "E" 5) (trunc 1 $unit | upper))) | int) -}}
{{- $factor = mulf $factor $base -}}
{{- end -}}
{{- end -}}
{{- printf "%.3f" (mulf (trimSuffix $unit . | float64) $factor) -}}
{{- end }}

{{/*
The sum of a quantity and a number of bytes, in Gi where that is exact, and else rounded up to Mi.
Usage: include "vllm-multinode.plusBytes" (dict "quantity" "200Gi" "bytes" 1073741824.0)
Returns: a quantity; the given one if there is nothing to add.
*/}}
{{- define "vllm-multinode.plusBytes" -}}
{{- $mebibytes := divf (addf (include "vllm-multinode.bytes" (toString .quantity) | float64) .bytes) 1048576.0 | ceil | int64 -}}
{{- if not .bytes -}}
{{- .quantity -}}
{{- else if mod $mebibytes 1024 -}}
{{- printf "%dMi" $mebibytes -}}
{{- else -}}
{{- printf "%dGi" (div $mebibytes 1024) -}}
{{- end -}}
{{- end }}
