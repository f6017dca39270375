#!/usr/bin/env bash
# Runs before SIGTERM. The leader keeps serving until load balancers have stopped sending requests. A worker waits until
# its leader has drained: vLLM's workers exit at once, and with them all running requests. With data-parallel replicas or
# several API servers, the leader also waits until no requests are left: each step needs the replicas of all pods, and
# vLLM with several API servers ends running requests at SIGTERM (0.32 and 0.33). The grace period limits all of this.
set -uo pipefail
# shellcheck source=charts/vllm-multinode/files/engine/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

REQUESTS='vllm:num_requests_(running|waiting)\{[^}]*\} '

# Succeed if there are data-parallel replicas or several API servers. A single one has a title without a number.
must_be_idle() {
  [ -n "${MULTINODE_DATA_PARALLEL_LOCAL:-}" ] || grep -q -s -a '^VLLM::APIServer_' /proc/[0-9]*/cmdline
}

# Succeed if no server of the group has requests. One that refuses a connection has ended.
group_is_idle() {
  local pod host port servers=1
  [ -z "${MULTINODE_PORTS:-}" ] || servers=${LWS_GROUP_SIZE:-1}
  for ((pod = 0; pod < servers; pod++)); do
    if [ "$pod" = "$rank" ]; then host=127.0.0.1; else host=$(address_of_pod "$pod"); fi
    for port in ${host:+$ports}; do
      is_idle "$host" "$port" || [[ $(dial "$host" "$port" 2>&1) == *"Connection refused"* ]] || return 1
    done
  done
}

# Succeed if the server at HOST PORT says that it has no requests. A busy one may be late, and one without statistics
# (disable-log-stats) can't say.
is_idle() {
  local text
  text=$(ask_server "$patience" "$1" "$2" GET /metrics)
  grep -q -E "^$REQUESTS" <<<"$text" && ! grep -q -E "^${REQUESTS}[1-9]" <<<"$text"
}

# Wait until the group has twice reported no requests, at most as long as running requests may take.
await_idle_group() {
  local idle=0 deadline=$((SECONDS + MULTINODE_DRAIN_SECONDS))
  while [ "$idle" -lt 2 ] && [ "$SECONDS" -lt "$deadline" ]; do
    if group_is_idle; then idle=$((idle + 1)); else idle=0; fi
    sleep 0.5
  done
}

if [ "$rank" = 0 ]; then
  if port_open 127.0.0.1 "$health_port"; then
    sleep "$MULTINODE_PRESTOP_SECONDS"
    if must_be_idle; then await_idle_group; fi
  fi
  exit 0
fi

closed=0
patience=1 # the leader's pod may be gone, and its address with it
deadline=$((SECONDS + MULTINODE_PRESTOP_SECONDS + MULTINODE_DRAIN_SECONDS + 10))
while [ "$closed" -lt 3 ] && [ "$SECONDS" -lt "$deadline" ]; do
  address=$(leader_address)
  if [ -n "$address" ] && port_open "$address" "$health_port"; then
    closed=0
    sleep 1
  else
    closed=$((closed + 1))
    sleep 0.3
  fi
done
