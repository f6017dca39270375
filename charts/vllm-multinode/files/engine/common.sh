# shellcheck shell=bash
# Functions of the other scripts. Settings come from the pod template (MULTINODE_…) and from LeaderWorkerSet (LWS_…).

rank=${LWS_WORKER_INDEX:-0}
leader_file=${TMPDIR:-/tmp}/vllm-multinode-leader # holds the leader's address
# Of a pod that has API servers: their ports, and the one that answers probes for all of them.
# shellcheck disable=SC2034 # other scripts read both
ports=${MULTINODE_PORTS:-${MULTINODE_PORT:-}} health_port=${MULTINODE_HEALTH_PORT:-${MULTINODE_PORT:-}}

# Create an empty file, and print its path. With restarts in place, it is deleted when a later run begins.
temporary_file() { mktemp "${TMPDIR:-/tmp}/vllm-multinode-run-${MULTINODE_RUN:-0}.XXXXXXXX"; }

say() { echo "vllm-multinode: $*" >&2; }

# Succeed if this pod has an API server: the leader, and with parallelism.dataLoadBalancer hybrid or external every pod.
has_server() { [ "$rank" = 0 ] || [ -n "${MULTINODE_PORTS:-}" ]; }

# Print the address of a NAME, or nothing if it does not resolve.
address_of() {
  local address _
  read -r address _ < <(getent ahosts "$1") && echo "$address"
}

# Print the address of the leader, or nothing if its name does not resolve.
leader_address() {
  if [ "$rank" = 0 ]; then
    echo "$VLLM_HOST_IP"
  else
    address_of "$LWS_LEADER_ADDRESS"
  fi
}

# Print the address at which start.sh found the leader. A serving group then does not depend on DNS, and a leader with
# another address belongs to another group.
address_of_own_leader() { cat "$leader_file" 2>/dev/null || leader_address; }

# Wait until the leader has an address, and set $address to it. Fail if it has none in time.
await_leader_address() {
  local deadline=$((SECONDS + MULTINODE_LEADER_ADDRESS_SECONDS))
  until address=$(leader_address) && [ -n "$address" ]; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 1
  done
}

# Print the address of the pod with a RANK of this group, or nothing if its name does not resolve.
address_of_pod() {
  if [ "$1" = 0 ]; then
    address_of "$LWS_LEADER_ADDRESS"
  else
    address_of "${LWS_LEADER_ADDRESS%%.*}-$1.${LWS_LEADER_ADDRESS#*.}"
  fi
}

# Open a TCP connection to HOST PORT within $patience seconds, or report on standard error why that failed.
patience=3
dial() {
  # The variables belong to the inner shell.
  # shellcheck disable=SC2016
  LC_ALL=C timeout "$patience" bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2"
}

# Succeed if a process listens on HOST PORT.
port_open() { dial "$1" "$2" 2>/dev/null; }

# Succeed if HOST exists: it accepts or refuses a connection to PORT.
is_there() {
  local said
  said=$(dial "$1" "$2" 2>&1) || [[ $said == *"Connection refused"* ]]
}

# Print what a server answers within SECONDS at HOST PORT to METHOD PATH [BODY]. The key comes from the environment, as
# anybody can read a command line.
ask_server() {
  # The variables belong to the inner shell.
  # shellcheck disable=SC2016
  timeout "$1" bash -c '
    exec 3<>"/dev/tcp/$0/$1" || exit
    key=${VLLM_API_KEY:+Authorization: Bearer $VLLM_API_KEY}
    printf "%s\r\n" "$2 HTTP/1.0" "Content-Type: application/json" "Content-Length: ${#3}" ${key:+"$key"} "" >&3
    printf "%s" "$3" >&3
    cat <&3' "$2" "$3" "$4 $5" "${6:-}" 2>/dev/null
}
