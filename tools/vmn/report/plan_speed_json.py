"""The speed of layouts as JSON, with seconds and tokens per second to four significant digits."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from vmn.app.planner import Plan
from vmn.core.planning.memory.activation import Band
from vmn.core.planning.prediction import Prediction
from vmn.core.speed.calibration import OWN, SpeedCalibration
from vmn.core.speed.workload import Speed, Workload

Json = dict[str, Any]
NAMES = {
    "prompt": "prompt_tokens",
    "answer": "answer_tokens",
    "ttft": "target_time_to_first_token_s",
    "tpot": "target_time_per_output_token_s",
    "cached": "prefix_cache_hit_share",
    "drafts": "speculative_tokens",
    "acceptance": "acceptance_rate",
}
"""What fields of a workload are called, if not by their own names."""
DIGITS = 4


def speed_of(plan: Plan, prediction: Prediction) -> Json:
    """Return the entry ``speed`` of a layout: null for one that does not fit, no entry without a workload."""
    found = plan.speeds.get(prediction.layout)
    return {"speed": speed_json(found) if found else None} if plan.workload else {}


def speed_json(speed: Speed) -> Json:
    """Return a speed."""
    content = {
        "workload": workload_json(speed.workload),
        "time_to_first_token_s": _band(speed.first),
        "time_per_output_token_s": _band(speed.each),
        "output_tokens_per_s": _band(speed.rate),
        "output_tokens_per_s_per_gpu": significant(speed.rate_per_gpu),
        "running_requests": significant(speed.running),
        "bound_by": speed.bound_by,
        "calibrated": speed.calibrated,
        "not_measured": list(speed.notes),
        "overloaded": speed.overloaded,
    }
    if speed.makespan:
        content["makespan_s"] = _band(speed.makespan)
    if speed.workload.has_targets:
        content["targets_hold"] = speed.holds()
        content["targets_hold_for_sure"] = speed.holds("high")
    return content


def workload_json(workload: Workload) -> Json:
    """Return what is given of a workload."""
    given = ((item.name, getattr(workload, item.name), item.default) for item in fields(workload))
    return {NAMES.get(name, name): value for name, value, default in given if value != default}


def enough_of(plan: Plan) -> Json | None:
    """Return the fewest GPUs with which the targets hold, None if the given ones are too few."""
    enough = plan.enough
    if enough is None:
        return None
    layout = enough.layout
    return {
        "gpus": enough.gpus,
        "groups": enough.groups,
        "nodes_per_group": enough.cluster.nodes,
        "gpus_per_node": enough.cluster.gpus_per_node,
        "tensor": layout.tensor,
        "pipeline": layout.pipeline,
        "data": layout.data,
        "expert": layout.expert,
        "decode_context": layout.decode_context,
        "speed": speed_json(enough.speed),
    }


def calibration_of(calibration: SpeedCalibration) -> Json:
    """Return the machine's own factors, and the error of each timed call."""
    return {
        "factors": {name: significant(getattr(calibration.factors, name)) for name in OWN},
        "half_width": significant(calibration.width),
        "calls": [
            {
                "workload": workload_json(each.call.workload),
                "output_tokens_per_s": significant(each.call.rate),
                "error_before": round(each.before, DIGITS),
                "error": round(each.after, DIGITS),
                "error_left_out": round(each.left_out, DIGITS),
            }
            for each in calibration.calls
        ],
    }


def significant(number: float) -> float:
    """Return a number with its significant digits."""
    return float(f"{number:.{DIGITS}g}")


def _band(band: Band) -> Json:
    return {
        "low": significant(band.low),
        "expected": significant(band.expected),
        "high": significant(band.high),
    }
