"""Asks aiconfigurator's estimate of the KV cache; runs in its own environment, questions in and answers out as JSON."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from aiconfigurator_core.sdk.memory import estimate_kv_cache  # type: ignore[import-not-found]

GIB = 2**30
GPU_GIB = 80
"""What it counts for an H100 itself; its fallback wants to be told."""


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return its answer, from its own model of the architecture or, where it has none, from its fallback."""
    options = question["options"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(question["config"]), encoding="utf-8")
        found = estimate_kv_cache(
            folder,
            "h100_sxm",
            "vllm",
            "current",
            max_num_tokens=options["max_num_batched_tokens"],
            max_batch_size=options["max_num_seqs"],
            memory_fraction_kind="of_total",
            memory_fraction_value=options["gpu_memory_utilization"],
            tp_size=options["tensor"],
            pp_size=options["pipeline"],
            gpu_memory_capacity_bytes_override=GPU_GIB * GIB,
            allow_naive_fallback=True,
        )
    parts = found["memory_breakdown"]
    return {
        "weights_gib": parts["weights_bytes"] / GIB if parts else None,
        "kv_gib": found["total_kv_size_bytes"] / GIB,
        "tokens": found["total_kv_size_tokens"],
        "note": "" if found["source"] == "native" else "its fallback",
    }


if __name__ == "__main__":
    json.dump([answer(question) for question in json.load(sys.stdin)], sys.stdout)
