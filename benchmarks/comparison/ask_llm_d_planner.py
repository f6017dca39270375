"""Asks llm-d planner's capacity planner; runs in its own environment, questions in and answers out as JSON."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

from planner import capacity_planner  # type: ignore[import-not-found]
from transformers import AutoConfig

GPU_GIB = 80
BLOCK = 16


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return its answer; its memory is of all GPUs together, so each has its share."""
    options, config = question["options"], AutoConfig.for_model(**question["config"])
    hub = SimpleNamespace(parameter_count={"BF16": options["parameters"]})
    capacity_planner.get_safetensors_metadata_from_hf = lambda *_: hub
    name, length, tensor, pipeline = question["name"], options["max_model_len"], options["tensor"], options["pipeline"]
    share = options["gpu_memory_utilization"]
    gpus = {"gpu_memory": GPU_GIB, "tp": tensor, "pp": pipeline}
    pool = capacity_planner.allocatable_kv_cache_memory(name, config, gpu_util=share, **gpus)
    blocks = capacity_planner.total_kv_cache_blocks(name, config, length, gpu_mem_util=share, block_size=BLOCK, **gpus)
    return {
        "weights_gib": capacity_planner.per_gpu_model_memory_required(name, config, tensor, pipeline),
        "kv_gib": pool / (tensor * pipeline),
        "tokens": blocks * BLOCK,
        "requests": capacity_planner.max_concurrent_requests(name, config, length, gpu_mem_util=share, **gpus),
    }


if __name__ == "__main__":
    json.dump([answer(question) for question in json.load(sys.stdin)], sys.stdout)
