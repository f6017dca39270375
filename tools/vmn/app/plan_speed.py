"""Adding to a plan how fast its layouts do a workload."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vmn.adapters.timed_calls import TimedCallsError, timed_calls
from vmn.app.planner import Plan, PlanError
from vmn.core.speed.calibration import SpeedCalibration, TooFewCalls, calibrated
from vmn.core.speed.predict import SpeedContext, speed_context
from vmn.core.speed.ranking import fewest, ranked, speeds
from vmn.core.speed.workload import Workload


def with_speed(plan: Plan, workload: Workload, benchmark: Path | None = None) -> Plan:
    """Return a plan with the speed of each layout that fits, the best for the workload first.

    Args:
        plan: the plan.
        workload: what is asked.
        benchmark: timed calls of this machine to calibrate with, in the plan's best layout.

    Raises:
        PlanError: the limits of the GPU are not known, a request is longer than vLLM accepts, or the file has too few
            calls.
        OSError: the file can't be read.
    """
    context = speed_context_of(plan, workload)
    calibration = _calibration(context, plan, benchmark) if benchmark else None
    if calibration:
        context = replace(context, factors=calibration.factors, own_width=calibration.width)
    found = speeds(context, plan.layouts, workload)
    enough = fewest(context, workload) if workload.has_targets and found else None
    layouts = ranked(plan.layouts, found, plan.context.cluster.nodes)
    return replace(plan, layouts=layouts, workload=workload, speeds=found, calibration=calibration, enough=enough)


def speed_context_of(plan: Plan, workload: Workload) -> SpeedContext:
    """Return what the speeds of a plan's layouts share.

    Raises:
        PlanError: the limits of the GPU are not known, or a request is longer than vLLM accepts.
    """
    context = speed_context(plan.context)
    if context is None:
        raise PlanError(f"The bandwidth of a {plan.context.gpu.name} is not known, so its speed can't be predicted.")
    length, limit = workload.prompt + workload.answer, plan.context.batch.length
    if length > limit:
        raise PlanError(
            f"{workload.prompt} prompt tokens and {workload.answer} answer tokens are more than the {limit} tokens "
            "that vLLM accepts in a request. Raise --max-model-len, or plan for shorter requests."
        )
    return context


def _calibration(context: SpeedContext, plan: Plan, benchmark: Path) -> SpeedCalibration | None:
    if not plan.best.fits:
        return None
    try:
        return calibrated(context, plan.best, timed_calls(benchmark))
    except (TimedCallsError, TooFewCalls) as error:
        raise PlanError(str(error)) from error
