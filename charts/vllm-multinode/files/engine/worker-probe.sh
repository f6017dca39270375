#!/usr/bin/env bash
# Probe of a worker. It succeeds if the leader listens on the port where ranks meet or on the API's port. Without it, a
# worker that has lost an idle leader would wait forever and look healthy.
set -uo pipefail
# shellcheck source=charts/vllm-multinode/files/engine/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

address=$(address_of_own_leader)
[ -n "$address" ] || { echo "the leader's name $LWS_LEADER_ADDRESS does not resolve" && exit 1; }
port_open "$address" "$MULTINODE_MASTER_PORT" || port_open "$address" "$MULTINODE_PORT" || {
  echo "the leader at $address listens neither on $MULTINODE_MASTER_PORT nor on $MULTINODE_PORT"
  exit 1
}
