"""Writing a values file for the best layout of a model."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from vmn.adapters.files import default_chart, read_values
from vmn.app.plan_request import PlanRequest
from vmn.app.planner import Plan, plan
from vmn.core.planning.values_file import ValuesFileSpec, values_file_text

LOAD_GBPS = 10.0
"""Bandwidth of each node's download in Gbit/s, unless the user gives it."""
LENGTH_STEP = 1024
"""A context that is shorter than the model's own limit is a multiple of this."""
FLAGS = ("gpu_memory_utilization", "max_num_batched_tokens", "max_num_seqs", "kv_cache_dtype", "enforce_eager")
"""Options that are copied to vLLM unchanged."""


def values_file(request: PlanRequest, load_gbps: float = LOAD_GBPS, chart: Path | None = None) -> str | None:
    """Return a values file as text, None when no layout fits.

    Args:
        request: the model and the hardware.
        load_gbps: bandwidth of each node's download in Gbit/s.
        chart: folder of the chart; the default chart if None.

    Raises:
        PlanError: the model, the GPU, the version, or a combination of options is not known.
        OSError: the chart or the model can't be read.
    """
    found = _surely_fitting(request)
    if not found.best.fits:
        return None
    group: Any = read_values((chart or default_chart()) / "values.yaml")["group"]
    spec = ValuesFileSpec(
        name=found.model.name,
        command=command_line(request, load_gbps),
        read_on=found.model.date,
        checkpoint_bytes=found.model.checkpoint_bytes,
        load_gbps=load_gbps,
        flags={name.replace("_", "-"): getattr(request, name) for name in FLAGS if getattr(request, name) != "auto"},
        nodes=group["nodes"],
        gpus_per_node=group["gpusPerNode"],
    )
    return values_file_text(spec, found.context, found.layouts)


def _surely_fitting(request: PlanRequest) -> Plan:
    """Return the plan, with a shorter context where the model's own surely fits in no layout."""
    found = plan(request)
    if found.best.is_sure or request.max_model_len is not None:
        return found
    surely = max((int(item.longest.low) for item in found.layouts), default=0) // LENGTH_STEP * LENGTH_STEP
    return plan(replace(request, max_model_len=surely)) if surely else found


def command_line(request: PlanRequest, load_gbps: float = LOAD_GBPS) -> str:
    """Return the command line that makes the same request."""
    words = ["vmn", "generate", *([request.model] if request.model else [])]
    given = [(item.name, getattr(request, item.name), item.default) for item in fields(request) if item.name != "model"]
    for name, value, default in [*given, ("load_gbps", load_gbps, LOAD_GBPS)]:
        option = f"--{name.replace('_', '-')}"
        if value == default or value is None or (value is False and name != "expert"):
            continue
        words += [option if value is True else "--no-expert"] if isinstance(value, bool) else [option, str(value)]
    return shlex.join(words)
