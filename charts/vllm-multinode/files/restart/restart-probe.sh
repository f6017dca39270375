#!/usr/bin/env bash
# Probe of a pod whose engine restarts in place: restart-probe.sh startup|readiness|liveness LIMIT [SECONDS]. During a
# restart, as long as it may take, the pod is alive but not ready. Otherwise the server must answer /health within LIMIT
# seconds, or a worker's leader must listen. Readiness is asked for often, and so fails only after SECONDS of failures.
set -uo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=charts/vllm-multinode/files/engine/common.sh
source "$here/common.sh"
files=${TMPDIR:-/tmp}/vllm-multinode-restart

# Succeed if this pod does what it is for.
works() {
  # shellcheck disable=SC2154 # health_port is common.sh's
  if has_server; then
    [[ $(ask_server "$1" 127.0.0.1 "$health_port" GET /health) == HTTP/*' 200 '* ]] || {
      echo "the server does not answer /health with status 200 within $1 s"
      return 1
    }
  else
    MULTINODE_MASTER_PORT=$(cat "$files-port" 2>/dev/null || echo "$MULTINODE_MASTER_PORT") bash "$here/worker-probe.sh"
  fi
}

if until=$(cat "$files-until" 2>/dev/null) && [ "$(date +%s)" -lt "$until" ]; then
  [ "$1" = readiness ] || exit 0
  echo "the engines of this group restart in place"
  exit 1
fi
if works "$2"; then
  [ "$1" != readiness ] || touch "$files-ready"
else
  [ "$1" = readiness ] && [ -n "$(find "$files-ready" -newermt "-$3 seconds" 2>/dev/null)" ]
fi
