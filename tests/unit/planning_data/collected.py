"""Turns start-ups into points: ``python -m unit.planning_data.collected POINTS.json CONFIGS`` prints those to add.

POINTS.json lists the start-ups of vLLM, each with its ``name``, ``model``, arguments of ``LLM`` (``args``), and what
vLLM printed (``weights_gib``, ``available_kv_gib``, ``kv_tokens``, ``concurrency``); ``flashinfer``, if FlashInfer
sampled. CONFIGS has a folder for each
model with its ``config.json``; a point may bring its own as ``config``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OPTIONS = {
    "max_model_len": "max_model_len",
    "gpu_memory_utilization": "utilization",
    "max_num_batched_tokens": "batched_tokens",
    "max_num_seqs": "requests",
    "enforce_eager": "eager",
    "kv_cache_dtype": "kv_dtype",
    "enable_prefix_caching": "prefix_caching",
}
"""Names of the planner's options by those of vLLM's arguments."""
LAYOUT = {"tensor_parallel_size": "tensor", "pipeline_parallel_size": "pipeline", "data_parallel_size": "data"}


def point(entry: Mapping[str, Any], configs: Path, version: str = "0.33.0") -> dict[str, Any] | None:
    """Return a start-up as a point of ``points-0.33.json``, None if it ended before its cache had a size."""
    args = entry["args"]
    if not entry.get("kv_tokens") or not entry.get("available_kv_gib"):
        return None
    config = entry.get("config") or json.loads((configs / entry["model"] / "config.json").read_text(encoding="utf-8"))
    if args.get("language_model_only"):
        config = {key: value for key, value in config.items() if key not in ("vision_config", "audio_config")}
    options = {
        "version": version,
        "flashinfer": entry.get("flashinfer", False),
        "eager": False,
        **{OPTIONS[key]: args[key] for key in OPTIONS if key in args},
    }
    drafts = args.get("speculative_config") or {}
    if drafts.get("num_speculative_tokens"):
        options["drafted"] = drafts["num_speculative_tokens"]
    return {
        "name": entry["name"],
        **{"tensor": 1, **{name: args[key] for key, name in LAYOUT.items() if key in args}},
        **({"expert": True} if args.get("enable_expert_parallel") else {}),
        "options": options,
        "measured": {
            "weights": entry["weights_gib"],
            "available": entry["available_kv_gib"][: args.get("pipeline_parallel_size", 1)],
            "tokens": entry["kv_tokens"],
            "concurrency": entry["concurrency"],
        },
        "config": config,
    }


def main() -> None:
    """Print the points of the files that the command line names."""
    entries = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = (point(entry, Path(sys.argv[2])) for entry in entries)
    print(",\n".join(f" {json.dumps(one, ensure_ascii=False)}" for one in found if one))


if __name__ == "__main__":
    main()
