# shellcheck shell=bash
# shellcheck disable=SC2154 # rank is common.sh's, engine is entrypoint.sh's
# Runs beside vLLM. It reports when the group serves, and kills vLLM when the group is broken, which vLLM does not
# always notice: a worker waits forever for an idle leader that is gone, a pipeline's leader for a worker.

tick=${MULTINODE_TICK:-1} # seconds between two checks; the tests use another interval
ended_for=$(mktemp) # why this script has killed vLLM; empty if it has not
# shellcheck disable=SC2034 # server.sh and entrypoint.sh read it
goes_on=$(mktemp) # deleted once PID 1 has been told to stop

watch_group() {
  local first="" now host=127.0.0.1
  while sleep "$tick"; do
    if [ "$rank" != 0 ]; then
      now=$(leader_address)
      first=${first:-$now} host=$now
      if [ -n "$now" ] && [ "$now" != "$first" ]; then
        end_engine "the leader was at $first and is now at $now: this worker belongs to a group that is gone"
        return
      fi
    fi
    if [ -n "$host" ] && port_open "$host" "$MULTINODE_PORT"; then
      kill -USR1 $$
      break
    fi
  done
  if [ "$rank" = 0 ]; then
    watch_server &
    watch_engine &
  fi
  watch_peers
}

# Watch the other pods once the group serves. A pod is gone if the kernel has closed its connection to torch's store on
# the leader, which stays open while both processes live, or if its node does not even refuse a connection.
watch_peers() {
  local known missing=0
  local -a address seen # by worker; addresses are kept, as a name is deleted with its pod
  known=$(connected_peers)
  while sleep "$tick"; do
    if [ -n "$(comm -23 <(echo "$known") <(connected_peers))" ]; then missing=$((missing + 1)); else missing=0; fi
    if [ "$missing" = 2 ]; then # a single miss may be a race
      end_engine "a pod of this group has closed its connection to port $MULTINODE_MASTER_PORT: its vLLM has ended"
      return
    fi
    [ "$rank" != 0 ] || all_nodes_answer || return
  done
}

# Print the peers, as addresses in /proc's form, of connections to the leader's master port.
connected_peers() { sockets 01 "$MULTINODE_MASTER_PORT" | cut -d ' ' -f 1 | sort -u; }

# Print the peer's address and the inode of each TCP socket in STATE with PORT at either end, in /proc's form.
sockets() {
  local port own peer state inode _
  port=$(printf '%04X' "$2")
  while read -r _ own peer state _ _ _ _ _ inode _; do
    if [ "$state" = "$1" ] && { [ "${own##*:}" = "$port" ] || [ "${peer##*:}" = "$port" ]; }; then
      echo "${peer%:*} $inode"
    fi
  done < <(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)
}

# On the leader: kill vLLM if a worker's node has not responded for too long. A node that has never responded does not
# count, as a firewall may drop these connections.
all_nodes_answer() {
  local worker silent
  [ "$MULTINODE_WORKER_LOSS_SECONDS" != 0 ] || return 0
  for ((worker = 1; worker < ${LWS_GROUP_SIZE:-1}; worker++)); do
    : "${address[worker]:=$(address_of "${LWS_LEADER_ADDRESS%%.*}-$worker.${LWS_LEADER_ADDRESS#*.}")}"
    if [ -n "${address[worker]}" ] && is_there "${address[worker]}" "$MULTINODE_MASTER_PORT"; then
      seen[worker]=$SECONDS
    fi
    silent=$((SECONDS - ${seen[worker]:-SECONDS}))
    if [ "$silent" -ge "$MULTINODE_WORKER_LOSS_SECONDS" ]; then
      end_engine "worker $worker has not answered for $silent s: its node is lost, or the network to it"
      return 1
    fi
  done
}

# Succeed on a worker while Kubernetes runs its prestop.sh, which waits until the leader has drained and exited.
outlives_leader() { [ "$rank" != 0 ] && grep -q -s 'prestop[.]sh' /proc/[0-9]*/cmdline; }

# Kill vLLM, and print why: it can't answer any request. The first reason counts. Printing comes last, as it waits where
# the log can't be written.
end_engine() {
  [ ! -s "$ended_for" ] || return 0
  echo "$1" >"$ended_for"
  kill -KILL "$engine"
  if outlives_leader; then say "$1"; else say "error: $1"; fi
}
