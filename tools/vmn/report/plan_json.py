"""The layouts of ``vmn plan`` as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vmn.app.planner import Plan
from vmn.core.planning.memory.activation import Band
from vmn.core.planning.memory.kv_cache import lengths
from vmn.core.planning.prediction import Prediction, Rank
from vmn.core.planning.startup_log.expected import log_lines
from vmn.report.plan import reason
from vmn.report.plan_speed_json import calibration_of, enough_of, speed_of

Json = dict[str, Any]


def as_json(plan: Plan) -> str:
    """Return the plan; GiB have two decimals, and counts are whole numbers."""
    context = plan.context
    content: Json = {
        "model": plan.model.name,
        "source": plan.model.source,
        "source_date": plan.model.date or None,
        "gpu": context.gpu.name,
        "gpu_gib": _gib(context.gpu.gib),
        "budget_gib": _gib(context.budget),
        "nodes": context.cluster.nodes,
        "gpus_per_node": context.cluster.gpus_per_node,
        "network": context.cluster.network,
        "vllm_version": context.version,
        "asked_max_model_len": context.batch.length,
        "max_num_batched_tokens": context.batch.tokens,
        "max_num_seqs": context.batch.requests,
        "kv_offloading_per_gpu_gib": _gib(context.offloaded),
        "speculative_tokens": context.batch.drafted,
        "layouts": [{**layout(prediction), **speed_of(plan, prediction)} for prediction in plan.layouts],
    }
    if plan.workload and plan.workload.has_targets:
        content["enough"] = enough_of(plan)
    if plan.calibration:
        content["speed_calibration"] = calibration_of(plan.calibration)
    return json.dumps(content, indent=2, ensure_ascii=False)


def layout(prediction: Prediction) -> Json:
    """Return one layout."""
    chosen = prediction.layout
    return {
        "tensor": chosen.tensor,
        "pipeline": chosen.pipeline,
        "data": chosen.data,
        "expert": chosen.expert,
        "decode_context": chosen.decode_context,
        "fits": prediction.fits,
        "fits_for_sure": prediction.is_sure,
        "rejected": prediction.rejected,
        "reason": reason(prediction) or None,
        "traffic": prediction.traffic,
        "ranks": [_rank(rank) for rank in prediction.ranks],
        "kv_cache_tokens": _counts(prediction.tokens),
        "offloaded_kv_cache_tokens": prediction.host_tokens,
        "max_model_len": int(prediction.longest.expected),
        "max_model_len_band": _counts(prediction.longest),
        "max_concurrency": _gib(prediction.concurrency.expected),
        "max_concurrency_band": _gibs(prediction.concurrency),
        "requests_by_length": {
            str(length): _gibs(prediction.requests_of(length)) for length in lengths(max(prediction.length, 8192))
        },
        "kv_gib_per_request": _gib(prediction.needed_gib),
        "log_lines": log_lines(prediction),
    }


def _rank(rank: Rank) -> Json:
    return {
        "stage": rank.stage,
        "layers": rank.layers,
        "weights_gib": _gib(rank.weights_gib),
        "weights_by_part_gib": _parts(rank.weights),
        "activation_gib": _gibs(rank.activation),
        "non_torch_gib": _gibs(rank.non_torch),
        "cuda_graphs_gib": _gibs(rank.graphs),
        "available_kv_gib": _gibs(rank.available),
        "blocks": _counts(rank.blocks),
    }


def _parts(weights: Mapping[str, float]) -> Json:
    return {part: round(size, 4) for part, size in weights.items()}


def _gib(number: float) -> float:
    return round(float(number), 2)


def _gibs(band: Band) -> Json:
    return {"low": _gib(band.low), "expected": _gib(band.expected), "high": _gib(band.high)}


def _counts(band: Band) -> Json:
    return {"low": int(band.low), "expected": int(band.expected), "high": int(band.high)}
