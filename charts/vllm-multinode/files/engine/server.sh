# shellcheck shell=bash
# shellcheck disable=SC2154 # engine is entrypoint.sh's; tick, goes_on, and end_engine are watch.sh's
# Runs beside vLLM in a pod that serves. It kills a server that has closed its port or hangs: requests would wait without a
# limit.

closed_limit=5 # seconds until a server that has closed its port must have exited
answer_limit=${MULTINODE_ANSWER_LIMIT:-5} # seconds for an answer to /health or /metrics; the tests use another limit
last_answers=${MULTINODE_LAST_ANSWERS:-10} # seconds for clients to read answers once no engine is left; not so in tests
pause_limit=30 # seconds late from which a check does not count: the node stood still, and vLLM with it

watch_server() {
  local tables="" listened="" asked=$SECONDS answered=$SECONDS
  while sleep "$tick"; do
    still_serves && still_answers || return
  done
}

# Kill vLLM if it has closed its port by itself but does not exit. Its engine is dead then, and vLLM waits for the
# engine's last processes as long as for a drain (shutdown.drainSeconds). These have inherited the port, which accepts
# connections that never get an answer. A supervisor keeps its port open, and says on it that a server has failed.
still_serves() {
  # shellcheck disable=SC2034 # errors reads it
  local served=yes what="vLLM has closed its port"
  if vllm_listens && ! supervisor_gives_up; then
    listened=$SECONDS
  elif [ -n "$listened" ] && [ -e "$goes_on" ] && [ $((SECONDS - listened)) -ge "$closed_limit" ]; then
    end_engine "$what and does not end: $(errors | head -n 1)"
    return 1
  fi
}

# Succeed if vLLM itself, and not only a child process, listens on the port that answers probes.
vllm_listens() {
  local open socket
  find_sockets 0A "$health_port"
  tables=""
  [ ${#found[@]} != 0 ] || return
  open=$(readlink "/proc/$engine/fd/"* 2>/dev/null)
  for socket in "${found[@]}"; do
    # shellcheck disable=SC2034 # find_sockets reads tables
    [[ $open != *"socket:[${socket##* }]"* ]] || { tables=$matching && return 0; }
  done
  return 1
}

# Succeed if several servers have a supervisor, so that probes have a port of their own.
has_supervisor() { [ "$health_port" != "$MULTINODE_PORT" ]; }

# Succeed if a supervisor says that a server has failed. It is then ending the others, as long as for a drain.
supervisor_gives_up() {
  has_supervisor && [[ $(ask_server "$answer_limit" 127.0.0.1 "$health_port" GET /health) == HTTP/*' 503 '* ]] &&
    what="a data-parallel replica of this pod has failed, vLLM has given up"
}

# Kill vLLM if a server hangs for too long.
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

# Succeed if a server accepts connections, but neither answers nor uses 1 % of a processor. A busy server may need 40 s for
# an answer (vllm#38157), but computes in that time.
server_hangs() {
  local port
  vllm_listens || return 1
  for port in $ports; do
    if port_hangs "$port"; then return 0; fi
  done
  return 1
}

# Succeed if the server at PORT hangs.
port_hangs() {
  local before begun=$SECONDS
  [[ $(dial 127.0.0.1 "$1" 2>&1) != *"Connection refused"* ]] || return 1
  before=$(server_time "$1")
  [[ $(ask_server "$answer_limit" 127.0.0.1 "$1" GET /health) != HTTP/* ]] &&
    [ $(($(server_time "$1") - before)) -le $((SECONDS - begun)) ]
}

# Print the processor time that the processes of the server at PORT have used, in 1/100 s (USER_HZ, proc(5)). Under a
# supervisor, their title has the index of their data-parallel replica. The server in Rust has its path as its title, and
# the index among its arguments.
server_time() {
  local file total=0 index title='VLLM::APIServer|^[^ ]*/vllm-rs' own=/proc/$engine/cmdline
  local -a fields
  if has_supervisor; then
    index=$((rank * MULTINODE_DATA_PARALLEL_LOCAL + $1 - MULTINODE_PORT)) own=""
    title="VLLM::APIServer_DP$index\b|/vllm-rs.*--engine-start-index.$index\b"
  fi
  for file in $own $(grep -l -s -a -E "$title" /proc/[0-9]*/cmdline); do
    read -r -a fields < <(sed 's/.*) //' "${file%/*}/stat" 2>/dev/null)
    total=$((total + ${fields[11]:-0} + ${fields[12]:-0}))
  done
  echo "$total"
}

# Kill vLLM after SECONDS, or when it can't finish any request: its server hangs, or its engines have ended, and the server
# waits for connections whose requests came too late for them.
kill_after() {
  local deadline=$((SECONDS + $1)) hung=0 worked=$SECONDS had_engine=no
  while [ "$SECONDS" -lt "$deadline" ] && [ "$hung" -lt 3 ]; do
    if grep -q -s -a VLLM::EngineCore /proc/[0-9]*/cmdline; then had_engine=yes worked=$SECONDS; fi
    [ "$had_engine" = no ] || [ $((SECONDS - worked)) -lt "$last_answers" ] || break
    sleep 1
    if server_hangs; then hung=$((hung + 1)); else hung=0; fi
  done
  kill -KILL "$engine"
}
