# shellcheck shell=bash
# Functions of the other scripts. Settings come from the pod template (MULTINODE_…) and from LeaderWorkerSet (LWS_…).

rank=${LWS_WORKER_INDEX:-0}
leader_file=${TMPDIR:-/tmp}/vllm-multinode-leader # holds the leader's address

say() { echo "vllm-multinode: $*" >&2; }

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
