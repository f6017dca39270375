#!/usr/bin/env bash
# Runs before SIGTERM. The leader keeps serving until load balancers have stopped sending requests. A worker waits until
# its leader has drained: vLLM's workers exit at once, and with them all running requests. The grace period limits both.
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
patience=1 # the leader's pod may be gone, and its address with it
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
