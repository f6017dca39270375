#!/usr/bin/env bash
# Readiness of a leader: /health, and that it is not told to end. Kubernetes sends new requests to a pod that is being
# deleted while no other is ready and it still is; vLLM would take them until its last moment, and answer with 500.
set -uo pipefail
# shellcheck source=charts/vllm-multinode/files/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ ! -e "$ending" ] || { echo "this pod is being deleted" && exit 1; }
exec 3<>"/dev/tcp/127.0.0.1/$MULTINODE_PORT" || exit
printf 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r _ status _ <&3
[ "$status" = 200 ] || { echo "/health: status $status" && exit 1; }
