"""Adding to a plan how fast its layouts do a workload."""

from __future__ import annotations

from dataclasses import replace

from vmn.app.planner import Plan, PlanError
from vmn.core.speed.predict import speed_context
from vmn.core.speed.ranking import fewest, ranked, speeds
from vmn.core.speed.workload import Workload


def with_speed(plan: Plan, workload: Workload) -> Plan:
    """Return a plan with the speed of each layout that fits, the best for the workload first.

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
    found = speeds(context, plan.layouts, workload)
    enough = fewest(context, workload) if workload.has_targets and found else None
    layouts = ranked(plan.layouts, found, plan.context.cluster.nodes)
    return replace(plan, layouts=layouts, workload=workload, speeds=found, enough=enough)
