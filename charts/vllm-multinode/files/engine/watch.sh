# shellcheck shell=bash
# shellcheck disable=SC2154 # rank is common.sh's, engine is entrypoint.sh's
# Runs beside vLLM. It reports when the group serves, and kills vLLM when the group is broken, which vLLM does not
# always notice: a worker waits forever for an idle leader that is gone, a pipeline's leader for a worker.

# shellcheck source=charts/vllm-multinode/files/engine/sockets.sh
source "$(dirname "${BASH_SOURCE[0]}")/sockets.sh"

tick=${MULTINODE_TICK:-1} # seconds between two checks; the tests use another interval
ended_for=$(temporary_file) # why this script has killed vLLM; empty if it has not
# shellcheck disable=SC2034 # server.sh and entrypoint.sh read it
goes_on=$(temporary_file) # deleted once PID 1 has been told to stop

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
    if has_server; then host=127.0.0.1; fi
    if [ -n "$host" ] && port_open "$host" "$health_port"; then
      kill -USR1 $$
      break
    fi
  done
  if has_server; then
    watch_server &
    watch_engine &
  fi
  watch_peers
}

# Watch the pods of the group once it serves. Another pod is gone if the kernel has closed its lasting connections with this
# pod, or if its node does not even refuse a connection.
watch_peers() {
  local tables="" known="" peers="" ranks missing=0 lost=0 others="" connected=""
  local -a pairs=() address seen closed forms # by rank of a pod; addresses are kept, as a name is deleted with its pod
  if ! is_behind_one_server; then
    find_peers
    tables=$matching known=$peers pairs=("${found[@]% *}")
  fi
  ranks=$(ranks_of_pod)
  sleep "$tick"
  ranks=$(ranks_of_pod | grep -x -F "$ranks") # not what a rank has forked for a moment
  while sleep "$tick"; do
    if a_peer_is_missing; then missing=$((missing + 1)); else missing=0; fi
    if a_rank_has_ended && [ -e "$goes_on" ]; then lost=$((lost + 1)); else lost=0; fi
    ! is_broken || return
    ! has_server || all_nodes_answer || return
  done
}

# Kill vLLM, and succeed, if a pod has closed its connection or a rank of this pod has ended, whichever came first. Once may
# be a race, or just before vLLM itself ends. With a rank gone, vLLM gives the others of its pod nine seconds to end, which
# they don't: they wait for the one that is gone.
is_broken() {
  [ "$missing" -ge 2 ] || [ "$lost" -ge 2 ] || return
  if [ "$lost" != 0 ] && { [ "$missing" = 0 ] || closed_here; }; then
    end_engine "a rank of this pod has ended: $(why_a_rank_ended)"
  elif [ "$missing" -ge 2 ]; then
    end_engine "a pod of this group has closed its $(lasting_connections): its vLLM has ended"
  else
    return 1 # the next check tells
  fi
}

# Succeed if one of this pod's ranks has ended.
a_rank_has_ended() {
  local number
  for number in $ranks; do runs "$number" || return 0; done
  return 1
}

# Succeed if this pod has closed a connection to another pod before that pod did: FIN_WAIT1, FIN_WAIT2, TIME_WAIT.
closed_here() {
  local pair own peer
  if is_behind_one_server; then
    while read -r own peer _; do
      [[ $connected != *"$own $peer "* ]] || return 0
    done < <(sockets_to_others '0[456]')
    return 1
  fi
  find_sockets '0[456]' "$MULTINODE_MASTER_PORT"
  for pair in "${found[@]% *}"; do
    own=${pair% *} peer=${pair#* }
    [ "${own%:*}" = "${peer%:*}" ] || [[ " ${pairs[*]} " != *" $pair "* ]] || return 0
  done
  return 1
}

# Print what the log says of it: that a rank died, or the first of the last errors.
why_a_rank_ended() {
  # shellcheck disable=SC2034 # errors reads it
  local served=yes
  { tail -n 200 "$log" | grep -o -m 1 'Worker proc .* died unexpectedly.*' || errors | head -n 1; } | cut -c -400
}

# Print the numbers of the processes of this pod's ranks. A rank that is in the process of its engine has none of its own.
ranks_of_pod() { grep -l -s -a '^VLLM::Worker' /proc/[0-9]*/cmdline | cut -d / -f 3; }

# Succeed if a pod that was connected has closed its connections.
a_peer_is_missing() {
  local peer
  if is_behind_one_server; then
    find_connected_pods
  elif [ -n "$known" ]; then
    find_peers
  fi
  for peer in $known; do
    [[ " $peers" == *" $peer "* ]] || return 0
  done
  return 1
}

# Set $peers to the addresses of the peers of connections to the leader's master port, and $found to these connections.
find_peers() {
  local socket
  find_sockets 01 "$MULTINODE_MASTER_PORT"
  peers=""
  for socket in "${found[@]}"; do
    socket=${socket#* }
    [[ " $peers" == *" ${socket%:*} "* ]] || peers+="${socket%:*} "
  done
}

# Succeed if this pod has data-parallel replicas of which another pod has the API server. They only meet at the master port,
# and then use ports that vLLM chooses.
is_behind_one_server() { [ -n "${MULTINODE_DATA_PARALLEL_LOCAL:-}" ] && [ -z "${MULTINODE_PORTS:-}" ]; }

# Print which connections stay open as long as the vLLM of both pods lives.
lasting_connections() {
  if is_behind_one_server; then echo connections; else echo "connection to port $MULTINODE_MASTER_PORT"; fi
}

# Set $peers to the addresses of the other pods that are connected with this one, and add those to $known that are for the
# second time: a probe's connection is soon closed. Each server is connected with each replica, which is a lot for bash.
find_connected_pods() {
  local peer before=$peers text
  learn_addresses
  text=$(sockets_to_others 01)
  peers="$(LC_ALL=C sed -E "s/.* ($MAPPED)?([^ :]+):[^ ]+ 01 \$/\2/" <<<"$text" | LC_ALL=C sort -u | tr '\n' ' ') "
  for peer in $peers; do
    [[ " $before" != *" $peer "* || " $known" == *" $peer "* ]] || known+="$peer "
  done
  [ -z "$text" ] || connected=$text
}

# Find the addresses of other pods, and set $others to them in /proc's form, with | between them. What has no address yet gets
# one later.
learn_addresses() {
  local other
  for ((other = 0; other < ${LWS_GROUP_SIZE:-1}; other++)); do
    [ "$other" != "$rank" ] && [ -z "${forms[other]:-}" ] || continue
    if [ "$other" = 0 ]; then
      address[0]=$(address_of_own_leader)
    else
      : "${address[other]:=$(address_of_pod "$other")}"
    fi
    forms[other]=$(in_form_of_proc "${address[other]}")
    [ -n "${forms[other]}" ] || return
    [ "${address[other]}" = "$VLLM_HOST_IP" ] || others+="${others:+|}${forms[other]}"
  done
}

# In a pod that serves: kill vLLM if the node of another pod has not responded for too long, or if that pod has served and has
# closed its port. A node that has never responded does not count, as a firewall may drop these connections.
all_nodes_answer() {
  local other silent limit=$MULTINODE_WORKER_LOSS_SECONDS
  for ((other = 0; other < ${LWS_GROUP_SIZE:-1}; other++)); do
    [ "$other" != "$rank" ] || continue
    : "${address[other]:=$(address_of_pod "$other")}"
    if other_answers; then seen[other]=$SECONDS; fi
    silent=$((SECONDS - ${seen[other]:-SECONDS}))
    if [ "${closed[other]:-0}" = 2 ]; then # a single miss may be a race
      end_engine "a pod of this group has closed its port $health_port: vLLM of $(name_of "$other") has ended"
      return 1
    elif [ "$limit" != 0 ] && [ "$silent" -ge "$limit" ]; then
      end_engine "$(name_of "$other") has not answered for $silent s: its node is lost, or the network to it"
      return 1
    fi
  done
}

# Succeed if the other pod's node responds. If every pod serves, count how often a pod that has served refuses a connection:
# its replicas are needed for each step, and no connection between the pods tells that they are gone. The master port does
# not do then: after the start, processes that vLLM has forked may keep it open on the leader without accepting connections.
other_answers() {
  local said
  [ -n "${address[other]}" ] || return
  if [ -z "${MULTINODE_PORTS:-}" ]; then
    is_there "${address[other]}" "$MULTINODE_MASTER_PORT"
  elif said=$(dial "${address[other]}" "$health_port" 2>&1); then
    closed[other]=0
  elif [[ $said != *"Connection refused"* ]]; then
    return 1
  elif [ -n "${closed[other]:-}" ]; then
    closed[other]=$((closed[other] + 1))
  fi
}

# Print what the pod with a RANK is called in messages.
name_of() { if [ "$1" = 0 ]; then echo "the leader"; else echo "worker $1"; fi; }

# Succeed on a worker while Kubernetes runs its prestop.sh, which waits until the leader has drained and exited.
outlives_leader() { [ "$rank" != 0 ] && grep -q -s 'prestop[.]sh' /proc/[0-9]*/cmdline; }

# Kill vLLM, and print why: it can't answer any request. The first reason counts, and while the pods stop it is not an error.
# Printing comes last, as it waits where the log can't be written.
end_engine() {
  [ ! -s "$ended_for" ] && runs "$engine" || return 0
  echo "$1" >"$ended_for"
  kill -KILL "$engine" 2>/dev/null
  if outlives_leader || [ ! -e "$goes_on" ]; then say "$1"; else say "error: $1"; fi
}

# Succeed unless the process with a NUMBER has ended. vLLM's end closes connections, too, and is seen here first on a busy
# node.
runs() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null && [[ ${stat##*) } != Z* ]]
}
