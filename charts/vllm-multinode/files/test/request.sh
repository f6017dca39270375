#!/usr/bin/env bash
# Test of a release: request the list of models and one short completion from each port of the Service, and print both. It
# needs only bash.
set -uo pipefail

# Send METHOD PATH BODY to the port and print the response's body. Fail unless the status is 200.
request() {
  local status line
  exec 3<>"/dev/tcp/$SERVICE_HOST/$port" || return
  printf '%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Type: application/json\r\n' "$1" "$2" "$SERVICE_HOST" >&3
  printf 'Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s' "${VLLM_API_KEY:-none}" "${#3}" "$3" >&3
  read -r _ status _ <&3
  while read -r line && [ -n "${line%$'\r'}" ]; do :; done <&3
  cat <&3
  echo
  exec 3>&-
  [ "$status" = 200 ] || { echo "port $port: $1 $2: status $status" >&2 && return 1; }
}

set -e
for port in ${SERVICE_PORTS:-$SERVICE_PORT}; do
  request GET /v1/models ""
  request POST /v1/completions "{\"model\": \"$MODEL\", \"prompt\": \"San Francisco is a\", \"max_tokens\": 7, \"temperature\": 0}"
done
