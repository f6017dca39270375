#!/bin/bash
# vLLM 0.33.0 by uv 0.13.9: cuda-python 12.6.2.post1 is installed beside cuda-bindings 13.5.0, and overwrites its modules.
#
# Guess: what a resolver chooses for vLLM fits together, and two packages never own the same module.
# Seen: flashinfer-python asks for any cuda-python. Newer ones, such as 13.4.4, ask for a cuda-bindings of their own
# version; 12.6.2.post1 has the modules itself and asks for nothing, so it fits beside any cuda-bindings. uv chooses it for
# vLLM 0.33.0, as no newer one accepts the newest cuda-bindings. Both own cuda/bindings/runtime…so, and the last one
# that is installed wins. pip installs the two without a word, and `pip check` finds nothing broken. On a GPU, every
# rank then ends with "module 'cuda.bindings.runtime' has no attribute 'cudaLibrary_t'" when nvidia-cutlass-dsl 4.8.0 is
# imported (Llama with tensor parallelism on an H200).
# For users who build an image of their own: add the constraint cuda-python>=13.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
bin=$folder/env/bin
"$bin/pip" install --quiet --disable-pip-version-check uv==0.13.9

# Print the versions of packages that begin with "cuda-" which uv chooses for the given requirements.
chosen() {
  printf '%s\n' "$@" >"$folder/wanted"
  "$bin/uv" pip compile --quiet --no-annotate --python-version 3.12 --python-platform x86_64-manylinux_2_39 \
    --exclude-newer 2026-11-29T00:00:00Z "$folder/wanted" | grep -E '^cuda-(python|bindings)=='
}

# Print whether cuda.bindings.runtime has the type.
has_type() { "$bin/python" -c 'from cuda.bindings import runtime; print(hasattr(runtime, "cudaLibrary_t"))'; }

# Fail unless SEEN is EXPECTED.
expect() {
  [ "$1" = "$2" ] || { printf 'changed: %s instead of %s\n' "$1" "$2" >&2; exit 1; }
}

expect "$(chosen vllm==0.33.0 | tr '\n' ' ')" "cuda-bindings==13.5.0 cuda-python==12.6.2.post1 "
if chosen vllm==0.33.0 'cuda-python>=13' | grep -q 12.6; then expect 12.6 13; fi

"$bin/pip" install --quiet --disable-pip-version-check cuda-bindings==13.5.0
expect "$(has_type)" True
"$bin/pip" install --quiet --disable-pip-version-check cuda-python==12.6.2.post1
expect "$("$bin/pip" check --disable-pip-version-check)" "No broken requirements found."
expect "$(has_type)" False
echo "as recorded"
