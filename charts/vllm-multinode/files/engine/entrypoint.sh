#!/usr/bin/env bash
# PID 1 of both roles. Runs start.sh, and adds what vLLM lacks as PID 1: SIGTERM ends it at any moment of a start, who
# has lost another pod of the group ends, and a start that failed waits before its group is made anew and leaves its
# reason in the termination message. The exit status stays vLLM's.
set -uo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=charts/vllm-multinode/files/engine/common.sh
source "$here/common.sh"
# shellcheck source=charts/vllm-multinode/files/engine/failures.sh
source "$here/failures.sh"
# shellcheck source=charts/vllm-multinode/files/engine/watch.sh
source "$here/watch.sh"

served=no signalled=no begun=$SECONDS

# Tell vLLM to stop. Whoever serves may drain; nobody else has anything to lose, and Python swallows signals while it
# imports.
# shellcheck disable=SC2329 # a trap calls it
stop() {
  signalled=yes
  rm -f "$goes_on"
  local grace=1
  if [ "$rank" = 0 ] && port_open 127.0.0.1 "$MULTINODE_PORT"; then
    grace=$((MULTINODE_DRAIN_SECONDS + 10))
  fi
  kill -TERM "$engine" 2>/dev/null
  (sleep "$grace" && kill -KILL "$engine") 2>/dev/null &
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
[ -e "$goes_on" ] || exit "$status"
if [ -s "$ended_for" ] && outlives_leader; then # no failure
  while outlives_leader; do sleep 0.2; done # else Kubernetes warns of a hook that failed
  exit "$status"
fi

reason="vllm serve ended with exit status $status after $((SECONDS - begun)) s (served: $served)"
if [ -s "$ended_for" ]; then
  reason+="; error: $(<"$ended_for")"
elif [ "$status" = 137 ] && out_of_memory; then
  reason+="; error: out of memory, the pod has reached its limit (resources.limits.memory)"
fi
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
