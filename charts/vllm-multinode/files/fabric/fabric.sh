#!/usr/bin/env bash
# Runs before entrypoint.sh, or before the check of the bandwidth, with profiles that need it. It takes over the variables of the vendor's script, puts the
# vendor's libraries first, and finds the network interface that reaches the leader. Variables of the pod template take
# precedence.
set -uo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=charts/vllm-multinode/files/engine/common.sh
source "$here/common.sh"

# Print the interface of the route to an IPv4 ADDRESS: of all matching routes, the one with the longest mask.
interface_to() {
  local name target mask flags best=-1 bits found="" _
  local -a part
  IFS=. read -r -a part <<<"$1"
  local number=$((part[3] << 24 | part[2] << 16 | part[1] << 8 | part[0])) # in the kernel's byte order
  while read -r name target _ flags _ _ _ mask _; do
    [[ $target =~ ^[0-9A-F]{8}$ ]] || continue
    (((0x$flags & 0x201) == 1)) || continue # the route is up and does not reject
    (((number & 0x$mask) == 0x$target)) || continue
    bits=0
    for ((mask = 0x$mask; mask; mask &= mask - 1)); do bits=$((bits + 1)); done
    [ "$bits" -le "$best" ] || best=$bits found=$name
  done <"${ROUTES:-/proc/net/route}"
  echo "$found"
}

# Set the interface of NCCL and Gloo once the leader has an address. If it has none, start.sh waits again and reports
# it.
find_interface() {
  local address="" name
  await_leader_address || return 0
  if [[ $address == *:* ]]; then
    say "the leader has the IPv6 address $address, so NCCL and Gloo choose the interface: set fabric.interface"
    return
  fi
  name=$(interface_to "$address")
  if [ -z "$name" ]; then
    say "error: no route leads to the leader at $address: set fabric.interface"
    exit 1
  fi
  say "the way to the leader at $address is $name"
  export NCCL_SOCKET_IFNAME="${NCCL_SOCKET_IFNAME:-=$name}" GLOO_SOCKET_IFNAME="${GLOO_SOCKET_IFNAME:-$name}"
}

trap 'exit 143' TERM INT
[ -z "${MULTINODE_LIBRARIES:-}" ] || export LD_LIBRARY_PATH="$MULTINODE_LIBRARIES${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
if [ -n "${MULTINODE_NCCL_SCRIPT:-}" ]; then
  if [ ! -r "$MULTINODE_NCCL_SCRIPT" ]; then
    say "error: $MULTINODE_NCCL_SCRIPT does not exist: the node lacks the vendor's NCCL plugin (docs/fabrics.md)"
    exit 1
  fi
  own=$(export -p) # at top level, as in a function the variables would be local
  set +u
  # shellcheck disable=SC1090 # a file of the node
  source "$MULTINODE_NCCL_SCRIPT"
  set -u
  eval "$own"
fi
[ "${MULTINODE_INTERFACE:-}" != auto ] || find_interface
[ -z "${MULTINODE_PROGRAM:-}" ] || exec python3 -B "$MULTINODE_PROGRAM"
exec /bin/bash "$here/entrypoint.sh" "$@"
