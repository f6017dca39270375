# shellcheck shell=bash
# What the other scripts share. Settings come from the pod template (MULTINODE_…) and from LeaderWorkerSet (LWS_…).

rank=${LWS_WORKER_INDEX:-0}

say() { echo "vllm-multinode: $*" >&2; }

# Print the address of the leader, nothing when its name does not resolve.
leader_address() {
  local address _
  if [ "$rank" = 0 ]; then
    echo "$VLLM_HOST_IP"
  else
    read -r address _ < <(getent ahosts "$LWS_LEADER_ADDRESS") && echo "$address"
  fi
}

# Succeed when a TCP connection to HOST PORT opens within three seconds.
port_open() {
  # The variables belong to the inner shell.
  # shellcheck disable=SC2016
  timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
}
