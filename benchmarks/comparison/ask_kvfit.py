"""Asks kvfit how many blocks fit; runs in its own environment, questions in and answers out as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from kvfit import estimate_cache  # type: ignore[import-not-found]
from kvfit.hardware import parse_hardware  # type: ignore[import-not-found]
from kvfit.planner import plan_topologies  # type: ignore[import-not-found]

BLOCK = 16
BYTES = 2


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return its answer, with requests of one block's length so that their number says the tokens."""
    options = question["options"]
    if options["pipeline"] > 1:
        return {"refused": "it plans tensor and data parallelism only"}
    (layout,) = plan_topologies(
        estimate_cache(question["config"], context_tokens=BLOCK, kv_bytes=BYTES),
        weight_bytes=options["parameters"] * BYTES,
        hardware=parse_hardware("h100"),
        gpus=options["tensor"],
        utilization=options["gpu_memory_utilization"],
        tensor_parallel=options["tensor"],
    )
    found = layout.as_dict()
    return {
        "weights_gib": found["weights_per_rank_gib"],
        "kv_gib": found["sequences_per_replica"] * found["kv_per_sequence_per_rank_gib"],
        "tokens": found["sequences_per_replica"] * BLOCK,
        "note": "an upper bound",
    }


if __name__ == "__main__":
    json.dump([answer(question) for question in json.load(sys.stdin)], sys.stdout)
