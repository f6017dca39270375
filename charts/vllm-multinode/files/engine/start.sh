#!/usr/bin/env bash
# Becomes `vllm serve` with the given arguments, which are the same for both roles, and with what differs between pods:
# the rank, the leader's address, and --headless on workers.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=charts/vllm-multinode/files/engine/common.sh
source "$here/common.sh"
# shellcheck source=charts/vllm-multinode/files/engine/cache.sh
source "$here/cache.sh"

nodes=${LWS_GROUP_SIZE:-1}

fail() {
  say "$*"
  exit 1
}

# /dev/shm and /tmp outlive the container. A killed vLLM leaves files in the one, and an old leader's address in the
# other. Weight daemons that run have files there, too: CUDA's events, without which no engine can map the weights, and
# PyTorch's counters.
theirs=()
if [[ ${MULTINODE_KEEP_WEIGHTS:-} = yes && -z ${MULTINODE_DAEMON_FLAGS:-} ]]; then
  theirs=(! -name 'cuda.shm.*' ! -name 'torch_*')
fi
find /dev/shm -mindepth 1 "${theirs[@]}" -delete 2>/dev/null || true
rm -f "$leader_file"
refuse_shared_cache
mkdir -p "$HOME" || fail "the cache at $HOME is not writable for user $(id -u): see cache.hostPath and security.userId"

seed_cache

# vLLM needs addresses, not names, and a new name may not be in DNS yet.
await_leader_address || fail "the leader's name $LWS_LEADER_ADDRESS did not resolve in" \
  "$MULTINODE_LEADER_ADDRESS_SECONDS s: is the leader's pod there, and does DNS answer in this pod?"
echo "$address" >"$leader_file"
say "rank $rank of $nodes node(s), leader at $address, backend $MULTINODE_BACKEND"

own_flags=()
if [ "$MULTINODE_BACKEND" = ray ]; then
  command -v ray-cluster >/dev/null ||
    fail "engine.backend is ray, but the image has no ray-cluster: build images/vllm-ray and set image.repository"
  if [ "$rank" != 0 ]; then
    exec ray-cluster worker --address "$address:$MULTINODE_MASTER_PORT"
  fi
  ray-cluster leader --nodes "$nodes" --port "$MULTINODE_MASTER_PORT" || fail "the Ray cluster did not form"
elif [ -n "${MULTINODE_DATA_PARALLEL_LOCAL:-}" ]; then
  first=$((rank * MULTINODE_DATA_PARALLEL_LOCAL)) # data-parallel replica of this pod
  own_flags=(--data-parallel-size-local "$MULTINODE_DATA_PARALLEL_LOCAL" --data-parallel-address "$address"
    --data-parallel-rpc-port "$MULTINODE_MASTER_PORT")
  case ${MULTINODE_LOAD_BALANCER:-internal}/$MULTINODE_DATA_PARALLEL_LOCAL in
    external/1) own_flags+=(--data-parallel-rank "$first") ;;
    external/* | hybrid/*) own_flags+=(--data-parallel-start-rank "$first") ;;
    *) [ "$rank" = 0 ] || own_flags+=(--headless --data-parallel-start-rank "$first") ;;
  esac
elif [ "$nodes" != 1 ]; then
  own_flags=(--nnodes "$nodes" --node-rank "$rank" --master-addr "$address" --master-port "$MULTINODE_MASTER_PORT")
  [ "$rank" = 0 ] || own_flags+=(--headless)
fi
# What all pods have measured in an earlier run need not be measured again.
measured=${TMPDIR:-/tmp}/vllm-multinode-kv-cache-bytes
[ ! -s "$measured" ] || own_flags+=(--kv-cache-memory-bytes "$(<"$measured")")
say "exec vllm serve $* ${own_flags[*]}"
exec vllm serve "$@" "${own_flags[@]}"
