#!/usr/bin/env bash
# Becomes the weight daemons of this pod. Everything comes before them that comes before the engine, with the same flags:
# this script runs the engine's own ones, up to the command with which each goes on.
set -uo pipefail
own=$(dirname "${BASH_SOURCE[0]}")

# Stand for the command with which fabric.sh and start.sh end.
exec() {
  case ${1##*/}/${2:-} in
    bash/*) ;; # entrypoint.sh, which is for engines
    vllm/serve) builtin exec python3 -B "$own/preload.py" "${@:3}" ;;
    *) builtin exec "$@" ;;
  esac
}

if [[ $MULTINODE_ENTRYPOINT == */fabric.sh ]]; then
  # shellcheck source=charts/vllm-multinode/files/fabric/fabric.sh
  source "$MULTINODE_ENTRYPOINT" "$@"
fi
# shellcheck source=charts/vllm-multinode/files/engine/start.sh
source "$own/start.sh" "$@"
