# shellcheck shell=bash
# What the other scripts share. Settings come from the pod template (MULTINODE_…) and from LeaderWorkerSet (LWS_…).

rank=${LWS_WORKER_INDEX:-0}
leader_file=${TMPDIR:-/tmp}/vllm-multinode-leader # its address

say() { echo "vllm-multinode: $*" >&2; }

# Print the address of a NAME, nothing when it does not resolve.
address_of() {
  local address _
  read -r address _ < <(getent ahosts "$1") && echo "$address"
}

# Print the address of the leader, nothing when its name does not resolve.
leader_address() {
  if [ "$rank" = 0 ]; then
    echo "$VLLM_HOST_IP"
  else
    address_of "$LWS_LEADER_ADDRESS"
  fi
}

# Print the address at which start.sh found the leader, so that a group which serves does not depend on DNS: a leader with
# another address is that of another group.
address_of_own_leader() { cat "$leader_file" 2>/dev/null || leader_address; }

# Wait until the leader has an address, and leave it in $address; fail when it has none in time.
await_leader_address() {
  local deadline=$((SECONDS + MULTINODE_LEADER_ADDRESS_SECONDS))
  until address=$(leader_address) && [ -n "$address" ]; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 1
  done
}

# Open a TCP connection to HOST PORT within $patience seconds, or say on standard error why not.
patience=3
dial() {
  # The variables belong to the inner shell.
  # shellcheck disable=SC2016
  LC_ALL=C timeout "$patience" bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2"
}

# Succeed when somebody listens on HOST PORT.
port_open() { dial "$1" "$2" 2>/dev/null; }

# Succeed when HOST is there: it takes a connection to PORT, or refuses it.
is_there() {
  local said
  said=$(dial "$1" "$2" 2>&1) || [[ $said == *"Connection refused"* ]]
}
