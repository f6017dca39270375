#!/bin/bash
# transformers 5.19.0: a config.json that has lost its null fields describes another model.
#
# Guess: a field that is null and a field that is missing mean the same, so tools that copy a config.json may drop nulls.
# Seen: a missing field gets the default of the model's class, and null switches the feature off. Without
#   "sliding_window": null, each layer of a Mistral has a window of 4,096 tokens. Without "q_lora_rank": null, DeepSeek V2
#   has a compressed query of 1,536 elements, and so other weights.
# For users: where yq, jq, a serializer, or a registry of models drops nulls, vLLM serves Mistral Large with a window that
#   it was not trained with, and expects other weights for DeepSeek V2 Lite, without a warning. An unreleased
#   vmn plan, whose copies had lost them, promised 1.6 times the tokens for Mistral Large on 8 H200.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
bin=$folder/env/bin
"$bin/pip" install --quiet --disable-pip-version-check transformers==5.19.0

cat >"$folder/read.py" <<'END'
import json
import sys
from pathlib import Path

from transformers import AutoConfig

folder = Path(sys.argv[1])
found = []
for kind, field in (("mistral", "sliding_window"), ("deepseek_v2", "q_lora_rank")):
    for fields in ({field: None}, {}):
        (folder / "config.json").write_text(json.dumps({"model_type": kind, **fields}))
        found.append(getattr(AutoConfig.from_pretrained(folder), field))
print(f"Mistral's window: null {found[0]}, missing {found[1]}; DeepSeek V2's query: null {found[2]}, missing {found[3]}")
sys.exit(found != [None, 4096, None, 1536])
END
"$bin/python" "$folder/read.py" "$folder" 2>/dev/null || { echo "changed" >&2; exit 1; }
echo "as recorded"
