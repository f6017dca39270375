#!/usr/bin/env bash
# PID 1 of both roles. Runs start.sh, and adds what vLLM lacks as PID 1: SIGTERM ends it at any moment of a start, a
# worker whose leader was replaced ends, so does a leader that has lost a worker's node, and a start that failed waits
# before its group is made anew and leaves its reason in the termination message. The exit status stays vLLM's.
set -uo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=charts/vllm-multinode/files/common.sh
source "$here/common.sh"
# shellcheck source=charts/vllm-multinode/files/failures.sh
source "$here/failures.sh"

served=no stopping=no signalled=no begun=$SECONDS

# Tell vLLM to stop. Whoever serves may drain; nobody else has anything to lose, and Python swallows signals while it
# imports.
# shellcheck disable=SC2329 # a trap calls it
stop() {
  signalled=yes stopping=yes
  local patience=5
  if [ "$rank" = 0 ] && port_open 127.0.0.1 "$MULTINODE_PORT"; then
    patience=$((MULTINODE_DRAIN_SECONDS + 10))
  fi
  kill -TERM "$engine" 2>/dev/null
  (sleep "$patience" && kill -KILL "$engine") 2>/dev/null &
}

# Run beside vLLM: report when the group serves, and end a worker whose leader has got another address.
watch_group() {
  local first="" now host=127.0.0.1
  while sleep 3; do
    if [ "$rank" != 0 ]; then
      now=$(leader_address)
      first=${first:-$now} host=$now
      if [ -n "$now" ] && [ "$now" != "$first" ]; then
        say "the leader was at $first and is now at $now: this worker belongs to a group that is gone"
        kill -KILL "$engine"
        return
      fi
    fi
    if [ "$served" = no ] && [ -n "$host" ] && port_open "$host" "$MULTINODE_PORT"; then
      served=yes
      kill -USR1 $$
      [ "$rank" != 0 ] || break
    fi
  done
  watch_workers
}

# Run beside a leader that serves. vLLM notices the death of a worker's process at once and that of its node not at
# all: requests hang, and /health stays 200. A node that lives refuses a closed port. One that never did is not judged:
# a firewall may drop what it does not know.
watch_workers() {
  local worker silent
  local -a address seen # the address from when it was first asked for: the name goes with the pod
  while [ "$MULTINODE_WORKER_LOSS_SECONDS" != 0 ] && sleep 3; do
    for ((worker = 1; worker < ${LWS_GROUP_SIZE:-1}; worker++)); do
      : "${address[worker]:=$(address_of "${LWS_LEADER_ADDRESS%%.*}-$worker.${LWS_LEADER_ADDRESS#*.}")}"
      if [ -n "${address[worker]}" ] && is_there "${address[worker]}" "$MULTINODE_MASTER_PORT"; then
        seen[worker]=$SECONDS
      fi
      silent=$((SECONDS - ${seen[worker]:-SECONDS}))
      if [ "$silent" -ge "$MULTINODE_WORKER_LOSS_SECONDS" ]; then
        say "error: worker $worker has not answered for $silent s: its node is lost, or the network to it"
        kill -KILL "$engine"
        return
      fi
    done
  done
}

tell_earlier_failures
trap stop TERM INT
trap 'signalled=yes served=yes' USR1
bash "$here/start.sh" "$@" &
engine=$!
watch_group &

while :; do
  signalled=no
  wait "$engine"
  status=$?
  [ "$signalled" = yes ] || break # else it was a signal that ended the wait
done
[ "$stopping" = no ] || exit "$status"

reason="vllm serve ended with exit status $status after $((SECONDS - begun)) s (served: $served)"
sleep 0.5 # for the last lines to reach the log
leave_evidence "$reason"
if [ "$served" = no ]; then
  trap 'kill "$pause"' TERM INT
  sleep "$MULTINODE_BACKOFF_SECONDS" &
  pause=$!
  say "$reason; the container ends in $MULTINODE_BACKOFF_SECONDS s (startup.backoffSeconds): read the log above"
  wait "$pause"
else
  say "$reason"
fi
sleep 0.2
exit "$status"
