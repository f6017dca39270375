# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # found and matching are read by other scripts; others is watch.sh's
# What the kernel knows of this pod's connections.

# A line of /proc/net/tcp: this end, the other end, the state, and the inode, after the queues, the timer, and the user.
TCP_SOCKET='^ *[0-9]+: ([^ ]+) ([^ ]+) ([^ ]+) [^ ]+ [^ ]+ [^ ]+ +[0-9]+ +[0-9]+ ([0-9]+) '
MAPPED=0000000000000000FFFF0000 # before an IPv4 address in the table of IPv6
tables=""                       # those that find_sockets searches, both by default

# Print the sockets in STATE, an expression, with the addresses in $others: both ends, this pod's first, and the state.
sockets_to_others() {
  [ -z "$others" ] || LC_ALL=C grep -h -s -o -E "[^ ]+ ($MAPPED)?($others):[^ ]+ $1 " /proc/net/tcp /proc/net/tcp6
}

# Print an ADDRESS as /proc/net/tcp has it: a socket for datagrams, which sends none, is in a table of the same form.
in_form_of_proc() {
  local socket inode table
  local -a row
  [ -n "$1" ] && { exec {socket}<>"/dev/udp/$1/9"; } 2>/dev/null || return
  inode=$(readlink "/proc/$BASHPID/fd/$socket")
  inode=${inode//[^0-9]/}
  for table in /proc/net/udp /proc/net/udp6; do
    while read -r -a row; do
      [ "${row[9]:-}" != "$inode" ] || echo "${row[2]%:*}"
    done <"$table"
  done 2>/dev/null
  exec {socket}>&-
}

# Set $found to the TCP sockets in STATE, a pattern, with PORT at either end: both ends, this pod's first, and the inode, in
# /proc's form. Set $matching to the tables that contain them, which a caller may keep as $tables: to read a table, however
# short it is, the kernel searches those of the whole node, which takes five milliseconds of a processor each second.
find_sockets() {
  local port table line row
  local -a lines
  printf -v port '%04X' "$2"
  row="*:$port *$1 *" found=() matching="" # a pattern is much faster than the expression on a port with many clients
  for table in ${tables:-/proc/net/tcp /proc/net/tcp6}; do
    { mapfile -t lines <"$table"; } 2>/dev/null || lines=()
    for line in "${lines[@]}"; do
      # shellcheck disable=SC2053 # both are patterns
      if [[ $line == $row && $line =~ $TCP_SOCKET && ${BASH_REMATCH[3]} == $1 ]]; then
        found+=("${BASH_REMATCH[1]} ${BASH_REMATCH[2]} ${BASH_REMATCH[4]}")
        [[ $matching == *"$table" ]] || matching+=" $table"
      fi
    done
  done
}
