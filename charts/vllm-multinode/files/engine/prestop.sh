#!/usr/bin/env bash
# Before SIGTERM. The leader serves on while load balancers look away; a worker lives on until its leader has drained,
# as vLLM's workers stop at once and take every request in flight with them. Kubernetes' grace period bounds both.
set -uo pipefail
# shellcheck source=charts/vllm-multinode/files/engine/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [ "$rank" = 0 ]; then
  if port_open 127.0.0.1 "$MULTINODE_PORT"; then
    sleep "$MULTINODE_PRESTOP_SECONDS"
  fi
  exit 0
fi

closed=0
patience=1 # for a leader whose pod is gone, and its address with it
deadline=$((SECONDS + MULTINODE_PRESTOP_SECONDS + MULTINODE_DRAIN_SECONDS + 10))
while [ "$closed" -lt 3 ] && [ "$SECONDS" -lt "$deadline" ]; do
  address=$(leader_address)
  if [ -n "$address" ] && port_open "$address" "$MULTINODE_PORT"; then
    closed=0
    sleep 1
  else
    closed=$((closed + 1))
    sleep 0.3
  fi
done
