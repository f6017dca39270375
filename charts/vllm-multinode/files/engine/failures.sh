# shellcheck shell=bash
# shellcheck disable=SC2154 # rank is common.sh's, served is entrypoint.sh's
# The evidence of a failure: a termination message, which is deleted with the pod, and a copy of the log on the cache's
# volume, which lives as long as cache.type allows. The next start of the group prints it.

group=${LWS_LEADER_ADDRESS:-${HOSTNAME:-vllm}}
kept=5 # logs per group
EARLIER="an earlier failure: "

# Keep the first megabytes of the log, as the reason of a failed start comes long before its end.
log=$(temporary_file)
megabytes=4
once=(cat)
! command -v python3 >/dev/null || once=(python3 -I "$here/once.py")
# shellcheck disable=SC2154 # here is entrypoint.sh's
exec > >("${once[@]}" | exec tee -p >(ulimit -f $((megabytes * 1024)) && exec cat >"$log")) 2>&1
copier=$!

# Wait until the last lines have been copied, as the container ends with its PID 1, and the copier with it. A process that
# vLLM has left may keep the log open: wait for two seconds at most, and for less after a failure, which is to be over soon.
# shellcheck disable=SC2329 # entrypoint.sh's trap calls it
finish_log() {
  local tenths=20
  # shellcheck disable=SC2154 # goes_on is watch.sh's
  [ ! -e "$goes_on" ] || tenths=7
  exec >/dev/null 2>&1
  # shellcheck disable=SC2046,SC2154 # numbers of processes; watcher is entrypoint.sh's
  kill -- $(jobs -p) "-$watcher"
  while [ -e "/proc/$copier" ] && [ $((tenths -= 1)) -ge 0 ]; do sleep 0.1; done
}

# Print up to three errors: of a start the first ones, as the others follow from them; of a server the last ones. vLLM says
# of a rank that was killed only that it died unexpectedly.
errors() {
  if [ "$served" = yes ]; then tail -n 200 "$log"; else cat "$log"; fi |
    grep -v -E " (INFO|WARNING) |$EARLIER" | grep -m 3 -E '(Error|Exception|error): | died unexpectedly' | cut -c -400
}

# Succeed if the kernel has killed a process of this container for its memory, as cgroups of version 2 and 1 count it.
out_of_memory() {
  grep -q -s -E '^oom_kill [1-9]' /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control
}

# Print a REASON with the first of the ERRORS, unless it contains an error already.
headline() {
  case $1 in
    *"; error: "*) echo "$1" ;;
    *) echo "$1${2:+; ${2%%$'\n'*}}" ;;
  esac
}

# Write a REASON and the log to a FILE. On a full disk, give up the group's earlier logs, then this one, for the reason: a
# file without a reason tells nothing.
keep() {
  { { echo "$2" && cat "$log"; } >"$1"; } 2>/dev/null && return
  earlier_failures | grep -v -F -x "$1" | xargs -r -d '\n' rm -f
  { echo "$2" >"$1"; } 2>/dev/null && return
  say "the reason of this failure can't be kept in ${1%/*}, because its disk is full"
  rm -f "$1"
}

# Store a REASON, the errors, and the log.
leave_evidence() {
  local message=${TERMINATION_LOG:-/dev/termination-log} # the tests use another file
  local told
  told=$(errors)
  [ ! -w "$message" ] || { echo "$1" && echo "$told" && echo ... && tail -n 4 "$log" | cut -c -400; } >"$message"
  mkdir -p "$MULTINODE_FAILURES" 2>/dev/null &&
    keep "$MULTINODE_FAILURES/$group.rank-$rank.$(date -u +%Y%m%dT%H%M%S.%3NZ).log" "$(headline "$1" "$told")"
  earlier_failures | tail -n +$((kept + 1)) | xargs -r -d '\n' rm -f
}

# Print the paths of this group's logs, the latest first.
earlier_failures() {
  find "$MULTINODE_FAILURES" -maxdepth 1 -name "$group.rank-*.log" -printf '%T@ %p\n' 2>/dev/null | sort -rn | cut -d ' ' -f 2-
}

# Print why the group's last containers ended, as far as they have left a log here: another release of the same name may
# have left it, so say when and of which group.
tell_earlier_failures() {
  local file reason
  earlier_failures | head -n 3 | while read -r file; do
    reason=$(head -n 1 "$file")
    say "$EARLIER${reason:-its reason could not be kept}; its log is in $file (of $group, $(date -u -r "$file" '+%F %T UTC'))"
  done
}
