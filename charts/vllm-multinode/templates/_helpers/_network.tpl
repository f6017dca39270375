{{/* Parts of NetworkPolicies. */}}

{{/*
The port of a URL.
Usage: include "vllm-multinode.portOf" "https://hub.example.com"
Returns: the port in the URL, or else 80 for http and 443 for anything else.
*/}}
{{- define "vllm-multinode.portOf" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "80" "443" (eq $url.scheme "http")) -}}
{{- end }}

{{/*
An egress rule for DNS.
Usage: include "vllm-multinode.dnsEgress" . | nindent 4
Returns: YAML, a list with one item.
*/}}
{{- define "vllm-multinode.dnsEgress" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}
