#!/usr/bin/env bash
# PID 1 of both roles. It runs start.sh and adds what vLLM lacks as PID 1: SIGTERM stops the container at any time
# during a start, the container exits when another pod of the group is gone, and a failed start writes its reason to the
# termination message and waits before the group is recreated. The exit status is vLLM's, but never 0 after a failure.
set -uo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=charts/vllm-multinode/files/engine/common.sh
source "$here/common.sh"
# shellcheck source=charts/vllm-multinode/files/engine/failures.sh
source "$here/failures.sh"
# shellcheck source=charts/vllm-multinode/files/engine/watch.sh
source "$here/watch.sh"
# shellcheck source=charts/vllm-multinode/files/engine/server.sh
source "$here/server.sh"
# shellcheck source=charts/vllm-multinode/files/engine/stall.sh
source "$here/stall.sh"

served=no signalled=no

# Tell vLLM to stop. A serving leader may drain first, unless its server hangs. All others are killed after a second, as
# they have nothing to lose and Python ignores signals while it imports modules.
# shellcheck disable=SC2329 # a trap calls it
stop() {
  signalled=yes
  rm -f "$goes_on"
  local grace=1
  if [ "$rank" = 0 ] && port_open 127.0.0.1 "$health_port"; then
    grace=$((MULTINODE_DRAIN_SECONDS + 10))
  fi
  kill -TERM "$engine" 2>/dev/null
  kill_after "$grace" >/dev/null 2>&1 &
}

# Import vLLM for a run that has not begun, and wait until PID 1 lets it begin: until standard input ends.
await_turn() {
  local first turn
  local -a python
  read -r first <"$(command -v vllm)" || first=""
  if [[ $first != '#!'*python* ]]; then
    say "error: $(command -v vllm) is not a Python program, so that nothing can be imported for the next run"
    give_up_standby 1
  fi
  read -r -a python <<<"${first#??}"
  "${python[@]}" "$here/import_ahead.py" "$@" <&0 &
  engine=$!
  cat <&0 >/dev/null &
  turn=$!
  wait -n "$engine" "$turn"
  if kill "$turn" 2>/dev/null || ! wait "$turn"; then
    wait "$engine"
    give_up_standby "$?"
  fi
}

# End with a STATUS before this run has begun, once the last lines have reached the log: PID 1 then kills what copies them.
give_up_standby() {
  sleep 0.5
  exit "$1"
}

engine=""
if [ "${MULTINODE_STANDBY:-}" = yes ]; then await_turn "$@"; fi
begun=$SECONDS
tell_earlier_failures
trap stop TERM INT
trap 'signalled=yes served=yes' USR1
if [ -z "$engine" ] || ! kill -0 "$engine" 2>/dev/null; then
  bash "$here/start.sh" "$@" &
  engine=$!
fi
set -m # a group of processes of their own, so that finish_log ends all of them
watch_group &
watcher=$!
set +m
trap finish_log EXIT

while :; do
  signalled=no
  wait "$engine"
  status=$?
  [ "$signalled" = yes ] || break # otherwise a signal ended the wait, not vLLM
done
[ -e "$goes_on" ] || exit "$status"
if [ -s "$ended_for" ] && outlives_leader; then # not a failure
  while outlives_leader; do sleep 0.2; done # otherwise Kubernetes reports a failed hook
  exit "$status"
fi

reason="vllm serve ended with exit status $status after $((SECONDS - begun)) s (served: $served)"
if [ -s "$ended_for" ]; then
  reason+="; error: $(<"$ended_for")"
elif [ "$status" = 137 ] && out_of_memory; then
  reason+="; error: out of memory, the pod has reached its limit (resources.limits.memory)"
fi
sleep 0.5 # until the last lines have reached the log
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
# A server whose engine has died ends with 0 (vLLM 0.32 and 0.33), and its pod would look completed.
[ "$status" != 0 ] || status=1
exit "$status"
