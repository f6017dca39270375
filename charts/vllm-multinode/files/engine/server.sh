# shellcheck shell=bash
# shellcheck disable=SC2154 # engine is entrypoint.sh's; tick, goes_on, and end_engine are watch.sh's
# Runs beside vLLM on a leader that serves. It kills a server that has closed its port or hangs: requests would wait
# without a limit.

closed_limit=5 # seconds until a server that has closed its port must have exited
answer_limit=${MULTINODE_ANSWER_LIMIT:-5} # seconds for an answer to /health or /metrics; the tests use another limit
pause_limit=30 # seconds late from which a check does not count: the node stood still, and vLLM with it

watch_server() {
  local listened="" asked=$SECONDS answered=$SECONDS
  while sleep "$tick"; do
    still_serves && still_answers || return
  done
}

# Kill vLLM if it has closed its port by itself but does not exit. Its engine is dead then, and vLLM waits for the
# engine's last processes as long as for a drain (shutdown.drainSeconds). These have inherited the port, which accepts
# connections that never get an answer.
still_serves() {
  # shellcheck disable=SC2034 # errors reads it
  local served=yes
  if vllm_listens; then
    listened=$SECONDS
  elif [ -n "$listened" ] && [ -e "$goes_on" ] && [ $((SECONDS - listened)) -ge "$closed_limit" ]; then
    end_engine "vLLM has closed its port and does not end: $(errors | head -n 1)"
    return 1
  fi
}

# Succeed if vLLM itself, and not only a child process, listens on its port.
vllm_listens() {
  local open inode _
  open=$(readlink "/proc/$engine/fd/"* 2>/dev/null)
  while read -r _ inode; do
    [[ $open != *"socket:[$inode]"* ]] || return 0
  done < <(sockets 0A "$MULTINODE_PORT")
  return 1
}

# Kill vLLM if its server hangs for too long.
still_answers() {
  local limit=$MULTINODE_SERVER_HANG_SECONDS silent
  [ "$limit" != 0 ] && [ $((SECONDS - asked)) -ge $((limit / 6)) ] || return 0
  [ $((SECONDS - asked - limit / 6)) -lt "$pause_limit" ] || answered=$SECONDS
  asked=$SECONDS
  server_hangs || answered=$SECONDS
  silent=$((SECONDS - answered))
  if [ "$silent" -ge "$limit" ]; then
    end_engine "the server has not answered /health for $silent s and has computed nothing: it hangs"
    return 1
  fi
}

# Succeed if the server accepts a connection, but neither answers nor uses 1 % of a processor. A busy server may need 40 s
# for an answer (vllm#38157), but computes in that time.
server_hangs() {
  local before begun=$SECONDS
  before=$(server_time)
  vllm_listens && [[ $(ask_server "$answer_limit" GET /health) != HTTP/* ]] &&
    [ $(($(server_time) - before)) -le $((SECONDS - begun)) ]
}

# Print the processor time that the API server's processes have used, in 1/100 s (USER_HZ, proc(5)).
server_time() {
  local file total=0
  local -a fields
  for file in "/proc/$engine/cmdline" $(grep -l -s -a 'VLLM::APIServer' /proc/[0-9]*/cmdline); do
    read -r -a fields < <(sed 's/.*) //' "${file%/*}/stat" 2>/dev/null)
    total=$((total + ${fields[11]:-0} + ${fields[12]:-0}))
  done
  echo "$total"
}

# Print what vLLM answers within SECONDS to METHOD PATH [BODY]. The key comes from the environment, as anybody can read
# a command line.
ask_server() {
  # The variables belong to the inner shell.
  # shellcheck disable=SC2016
  timeout "$1" bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$MULTINODE_PORT" || exit
    key=${VLLM_API_KEY:+Authorization: Bearer $VLLM_API_KEY}
    printf "%s\r\n" "$0 HTTP/1.0" "Content-Type: application/json" "Content-Length: ${#1}" ${key:+"$key"} "" >&3
    printf "%s" "$1" >&3
    cat <&3' "$2 $3" "${4:-}" 2>/dev/null
}

# Kill vLLM after SECONDS, or when its server hangs: it can't finish any request then.
kill_after() {
  local deadline=$((SECONDS + $1)) hung=0
  while [ "$SECONDS" -lt "$deadline" ] && [ "$hung" -lt 3 ]; do
    sleep 1
    if server_hangs; then hung=$((hung + 1)); else hung=0; fi
  done
  kill -KILL "$engine"
}
