# shellcheck shell=bash
# shellcheck disable=SC2154 # tick, goes_on, and end_engine are watch.sh's, answer_limit and pause_limit server.sh's
# Runs beside vLLM in a pod that serves. It kills vLLM when an engine hangs: /health stays 200 then, and requests wait
# without a limit.
#
# Each step of an engine changes its numbers in /metrics: requests that run and wait, tokens, and in each step of a long
# prefill the share of the KV cache. How long one step may take, because it loads or compiles something, is limited by
# vLLM itself (probes.stepSeconds).

NUMBERS='num_requests_running|num_requests_waiting|kv_cache_usage_perc|prompt_tokens_total|generation_tokens_total'
declare -A numbers moved # by engine: its numbers, and when they last changed or no request ran
not_possible=$(temporary_file) # has a line once vLLM has refused a request of this script

watch_engine() {
  local measured=$SECONDS active=$SECONDS trial="" tried=0 warned=no asleep=no
  [ "$MULTINODE_STALLED_SECONDS" != 0 ] || return 0
  while sleep "$tick"; do
    still_works || return
  done
}

# Kill vLLM if requests run, and their engine has done no step for too long.
still_works() {
  local limit=$MULTINODE_STALLED_SECONDS stuck="" silent
  [ $((SECONDS - measured)) -ge $((limit / 24)) ] || return 0
  [ $((SECONDS - measured - limit / 24)) -lt "$pause_limit" ] || numbers=()
  measured=$SECONDS
  measure || return 0
  try_when_idle
  silent=$((SECONDS - ${stuck:-$SECONDS}))
  if [ "$silent" -ge "$limit" ]; then
    end_engine "requests run, and the engine has done no step for $silent s: it hangs"
    return 1
  elif [ "$warned" = no ] && [ "$silent" -ge $((limit / 2)) ]; then
    warned=yes
    say "requests run, and the engine has done no step for $silent s: this leader exits after $limit s" \
      "(probes.stalledSeconds)"
  elif [ "$warned" = yes ] && [ -z "$stuck" ]; then
    warned=no
    say "the engine works again"
  fi
}

# Read the numbers of each engine, and set stuck to the time since when an engine has requests, but does no step. Fail
# without numbers.
measure() {
  local text port id name value
  local -A now=() running=() # with a value, as bash takes those without one for unset
  text=$(for port in $ports; do ask_server "$answer_limit" 127.0.0.1 "$port" GET /metrics; done)
  while read -r id name value; do
    now[$id]+=" $value"
    [ "$name" != num_requests_running ] || running[$id]=${value%.*}
  done < <(sed -n -E "s/^vllm:($NUMBERS)\{([^}]*,)?engine=\"([^\"]*)\"[^}]*\} /\3 \1 /p" <<<"$text")
  for id in "${!now[@]}"; do
    if [ "${now[$id]}" != "${numbers[$id]:-}" ]; then
      moved[$id]=$measured active=$measured numbers[$id]=${now[$id]}
    elif [ "${running[$id]:-0}" = 0 ]; then
      moved[$id]=$measured
    else
      active=$measured
    fi
    [ "${moved[$id]}" -ge "${stuck:-$measured}" ] || stuck=${moved[$id]}
  done
  # Weights of an engine that sleeps are not there: it must get no request, even if one answer lacks the line.
  if grep -q 'sleep_state="awake"[^}]*} 0' <<<"$text"; then
    asleep=yes
  elif [[ $text == *'sleep_state="awake"'* ]]; then
    asleep=no
  fi
  [ "$asleep" = no ] || active=$measured
  [ ${#now[@]} != 0 ]
}

# Send a request for one token when there has been none for a while: an engine that hangs while it is idle never reports
# the requests that wait for it. Set stuck to when that request was sent, while it is the only one and has no answer. Send
# none to vLLM that is stopping, as it waits for requests that reach it after its engine has ended, but never answers them.
try_when_idle() {
  if [ -n "$trial" ] && [ "$active" -lt "$tried" ] && kill -0 "$trial" 2>/dev/null; then
    stuck=$tried
  elif [ $((measured - active)) -ge $((MULTINODE_STALLED_SECONDS / 7)) ] && [ ! -s "$not_possible" ] &&
    [ -e "$goes_on" ]; then
    tried=$SECONDS
    send_trial &
    trial=$!
  fi
}

# Request one token, and remember it if vLLM refuses that, as with a model that generates none.
send_trial() {
  local answer
  answer=$(ask_server $((2 * MULTINODE_STALLED_SECONDS)) 127.0.0.1 "$MULTINODE_PORT" POST /v1/completions '{"prompt": [1], "max_tokens": 1}')
  [[ ${answer%%$'\r'*} != HTTP/*' 4'* ]] || echo "${answer%%$'\r'*}" >"$not_possible"
}
