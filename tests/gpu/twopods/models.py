"""Directories that ``vllm serve`` takes for models: true shapes, a tokenizer of another model, and no weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.paths import CHECKOUT

POINTS = CHECKOUT / "tests/unit/planning_data/points-0.33.json"
"""Start-ups of vLLM 0.33 with the whole config.json of each."""
TOKENIZER = CHECKOUT / "tools/localcluster/engine/tiny"
LLAMA_70B = {"hidden_size": 8192, "intermediate_size": 28672, "num_attention_heads": 64}
"""What differs in Llama 3.1 70B from the 8B, apart from the number of layers."""


def _registered(name: str) -> Mapping[str, Any]:
    """Return the configuration of a model that the planner has."""
    file = CHECKOUT / f"tools/vmn/data/models/{name}.json"
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))["config"]
    return found


MODELS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama8b": ("Llama 3.1 8B", {}),
    "llama8b-8L": ("Llama 3.1 8B", {"num_hidden_layers": 8}),
    "dsr1-4L": ("DeepSeek-R1, 6 layers", {"num_hidden_layers": 4}),
    "dsr1-8L": ("DeepSeek-R1, 6 layers", {"num_hidden_layers": 8}),
    "v4flash-12L": ("DeepSeek-V4-Flash, 12 layers", {}),
    "dsr1-12L": ("DeepSeek-R1, 6 layers", {"num_hidden_layers": 12}),
    "llama70b": ("Llama 3.1 8B", {**LLAMA_70B, "num_hidden_layers": 80}),
    "llama70b-40L": ("Llama 3.1 8B", {**LLAMA_70B, "num_hidden_layers": 40}),
    "v4flash": ("DeepSeek-V4-Flash, 12 layers", _registered("deepseek-ai--DeepSeek-V4-Flash")),
}
"""Directory -> the start-up whose configuration it gets, and what differs."""
NOT_TAKEN = shutil.ignore_patterns("*.safetensors", "config.json", "generation_config.json", "tokenizer.json")


def write_models(out: Path, configs: Path | None = None) -> list[str]:
    """Write the models of MODELS, and those of a directory; return their names.

    Args:
        out: where the directories go.
        configs: directory with NAME/config.json.

    Raises:
        OSError: a file can't be read or written.
        KeyError: a start-up is not there.
    """
    points = {point["name"]: point["config"] for point in json.loads(POINTS.read_text(encoding="utf-8"))["points"]}
    found = {name: {**points[point], **change} for name, (point, change) in MODELS.items()}
    for file in sorted(configs.glob("*/config.json")) if configs else ():
        found[file.parent.name] = json.loads(file.read_text(encoding="utf-8"))
    for name, config in found.items():
        shutil.copytree(TOKENIZER, out / name, ignore=NOT_TAKEN, dirs_exist_ok=True)
        (out / name / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        (out / name / "tokenizer.json").write_text(json.dumps(_tokenizer(config)), encoding="utf-8")
    return list(found)


def _tokenizer(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tokenizer with a word for each further token of a model.

    Random weights answer with any token, and vLLM's detokenizer decodes the whole prompt again for each one that does
    not become text: with prompts of 2,048 tokens, that limited a server to 2,100 tokens per second.
    """
    found: dict[str, Any] = json.loads((TOKENIZER / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = found["model"]["vocab"]
    size = config.get("vocab_size") or config.get("text_config", {}).get("vocab_size", 0)
    vocabulary |= {f"w{number}": number for number in range(len(vocabulary), size)}
    return found
