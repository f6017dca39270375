"""Writing a values file for the best layout of a model."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vmn.adapters.files import default_chart, read_values
from vmn.app.plan_request import PlanRequest
from vmn.app.plan_speed import speed_context_of
from vmn.app.planner import Plan, PlanError, plan
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.prediction import Prediction
from vmn.core.planning.values_file import INTERNAL, ValuesFileSpec, describe, values_file_text
from vmn.core.planning.vllm.environment import known_variables
from vmn.core.speed.choice import WORTH, Choice, choose
from vmn.core.speed.workload import Workload, asked

LOAD_GBPS = 10.0
"""Bandwidth of each node's download in Gbit/s, unless the user gives it."""
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
"""A name on the Hugging Face Hub."""
REQUESTS_STEP = 8
"""Fewer requests of a step than vLLM's default are a multiple of this, as the sizes of CUDA graphs are."""
LENGTH_STEP = 1024
"""A context that is shorter than the model's own limit is a multiple of this."""
LONGER = 1.1
"""Factor from which a longer context is worth a layout that ranks lower."""


@dataclass(frozen=True)
class Goal:
    """What a layout and its flags are chosen for.

    Attributes:
        name: one of ``GOALS``.
        workload: what is asked of the group.
        words: the options of the command line that say so.
    """

    name: str
    workload: Workload
    words: Sequence[str] = ()


FLAGS = (
    "gpu_memory_utilization",
    "max_num_batched_tokens",
    "max_num_seqs",
    "kv_cache_dtype",
    "enforce_eager",
    "speculative_config",
)
"""Options that are copied to vLLM unchanged."""


def values_file(
    request: PlanRequest,
    load_gbps: float = LOAD_GBPS,
    chart: Path | None = None,
    goal: Goal | None = None,
    balancer: str = INTERNAL,
) -> str | None:
    """Return a values file as text, None when no layout fits.

    Args:
        request: the model and the hardware.
        load_gbps: bandwidth of each node's download in Gbit/s.
        chart: directory of the chart; the default chart if None.
        goal: what the layout and the flags are chosen for; the planner's own order if None.
        balancer: what chooses the data-parallel replica of a request; it must have several to choose from.

    Raises:
        PlanError: the model, the GPU, the version, or a combination of options is not known.
        OSError: the chart or the model can't be read.
    """
    if request.config is not None and not HUB_NAME.fullmatch(request.model or ""):
        raise PlanError(
            "Give MODEL, the name under which vLLM finds the model, such as ORGANIZATION/NAME: the values file needs "
            "it, and --config has only the shapes."
        )
    given = request
    request, found = _surely_fitting(given)
    found = replace(found, layouts=[item for item in found.layouts if _has_choice(item.layout, request, balancer)])
    if not found.layouts or not found.best.fits:
        return None
    choice = chosen(found, goal) if goal else None
    context, layouts = found.context, found.layouts
    if choice:
        context, layouts = choice.variant.context.plan, _first(found, choice)
    own = {setting.flag: setting for setting in choice.settings} if choice else {}
    flags = {name.replace("_", "-"): getattr(request, name) for name in FLAGS if getattr(request, name) != "auto"}
    group: Any = read_values((chart or default_chart()) / "values.yaml")["group"]
    spec = ValuesFileSpec(
        name=found.model.name,
        command=command_line(given, load_gbps, goal, balancer),
        read_on=found.model.date,
        checkpoint_bytes=found.model.checkpoint_bytes,
        load_gbps=load_gbps,
        flags={**flags, **{flag: setting.value for flag, setting in own.items()}},
        reasons={flag: setting.reason for flag, setting in own.items()},
        goal=goal_lines(choice) if choice else (),
        is_open=request.config is None,
        nodes=group["nodes"],
        gpus_per_node=group["gpusPerNode"],
        balancer=balancer,
        serving=found.model.serving,
        env=known_variables(request.env),
    )
    return values_file_text(spec, context, layouts)


def _has_choice(layout: Layout, request: PlanRequest, balancer: str) -> bool:
    """Return whether a layout has the data-parallel replicas that the chart wants for a load balancer."""
    if balancer == INTERNAL:
        return True
    of_a_node = layout.data // request.nodes
    return layout.data > 1 and (balancer == "external" or (request.nodes > 1 and of_a_node > 1))


def chosen(found: Plan, goal: Goal) -> Choice | None:
    """Return the layout and flags for a goal, None when no layout fits.

    Raises:
        PlanError: the limits of the GPU are not known, or a request is longer than vLLM accepts.
    """
    return choose(speed_context_of(found, goal.workload), found.layouts, goal.workload, goal.name)


def _first(found: Plan, choice: Choice) -> list[Prediction]:
    """Return the layouts with the chosen one first."""
    mine = choice.variant.prediction
    return [mine, *(item for item in found.layouts if item.layout != mine.layout)]


def goal_lines(choice: Choice) -> list[str]:
    """Return what a layout was chosen for, and what it is expected to bring."""
    mine, workload = choice.variant.speed, choice.variant.speed.workload
    lines = [
        f"Chosen for {choice.goal}, with {asked(workload)}:",
        f"  {mine.rate.expected:,.0f} tokens/s ({mine.rate.low:,.0f} to {mine.rate.high:,.0f}), the first token after "
        f"{mine.first.expected:.2g} s, then one every {mine.each.expected * 1000:.3g} ms; bound by {mine.bound_by}.",
    ]
    default = choice.before.prediction.layout
    if choice.gain >= WORTH:
        lines.append(
            f"  {1 + choice.gain:.2f} times as good as {describe(default)} with vLLM's defaults, by this prediction."
        )
    if not mine.calibrated:
        lines.append(f"  Not calibrated: {', '.join(mine.notes)}.")
    return lines


def _surely_fitting(request: PlanRequest) -> tuple[PlanRequest, Plan]:
    """Return the plan, and the request with what it needs to surely fit if the user leaves that open.

    That is a shorter context than the model's own, and fewer requests of a step where states limit them. A layout that
    ranks lower only counts if its context is so much longer that it is worth more stages.
    """
    found = plan(request)
    most = found.best.most_requests
    if request.max_num_seqs is None and most and found.best.requests > most.low >= 1:
        request = replace(request, max_num_seqs=max(1, int(most.low) // REQUESTS_STEP * REQUESTS_STEP))
        found = plan(request)
    if found.best.is_sure or request.max_model_len is not None:
        return request, found
    lengths = [int(item.longest.low) for item in found.layouts]
    longest = max(lengths, default=0)
    surely = next((length for length in lengths if length * LONGER >= longest), 0) // LENGTH_STEP * LENGTH_STEP
    return (request, plan(replace(request, max_model_len=surely))) if surely else (request, found)


def command_line(
    request: PlanRequest, load_gbps: float = LOAD_GBPS, goal: Goal | None = None, balancer: str = INTERNAL
) -> str:
    """Return the command line that makes the same request."""
    words = ["vmn", "generate", *([request.model] if request.model else [])]
    given = [(item.name, getattr(request, item.name), item.default) for item in fields(request) if item.name != "model"]
    others = [("load_gbps", load_gbps, LOAD_GBPS), ("data_load_balancer", balancer, INTERNAL)]
    for name, value, default in [*given, *others]:
        option = f"--{name.replace('_', '-')}"
        if value == default or value is None or (value is False and name != "expert"):
            continue
        if isinstance(value, tuple):
            words += [word for item in value for word in (option, item)]
            continue
        words += [option if value is True else "--no-expert"] if isinstance(value, bool) else [option, str(value)]
    return shlex.join([*words, *(goal.words if goal else ())])
