#!/usr/bin/env bash
# Does what start.sh does before it becomes `vllm serve`, and gives the command line, each word with a 0 after it, to the
# process that becomes it.
set -uo pipefail
own=$(dirname "${BASH_SOURCE[0]}")

# Stand for the command with which start.sh ends.
exec() {
  printf '%s\0' "$@" >&"$MULTINODE_COMMAND_LINE_TO"
  exit
}

# shellcheck source=charts/vllm-multinode/files/engine/start.sh
source "$own/start.sh" "$@"
