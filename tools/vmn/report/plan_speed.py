"""How fast the layouts of ``vmn plan`` do a workload, as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vmn.app.planner import Plan
from vmn.core.planning.memory.activation import Band
from vmn.core.planning.prediction import Prediction
from vmn.core.speed.calibration import OWN, CalledAgain
from vmn.core.speed.factors import FITTED
from vmn.core.speed.workload import Speed, Workload, asked
from vmn.report.plan import SHOWN, band, header, name, reason, verdict
from vmn.report.table import aligned, hanging
from vmn.report.terminal import GREEN, RED, YELLOW

HEADINGS = ("layout", "fits", "first token, s", "per token, ms", "tokens/s", "per GPU", "all done, s", "bound by")
COLORS = {"yes": GREEN, "maybe": YELLOW, "no": RED}


def text(plan: Plan, workload: Workload, *, everything: bool = False, color: bool = False) -> str:
    """Return a header, a table of layouts with their speed, and what the numbers rest on.

    Args:
        plan: the plan, with speeds.
        workload: what is asked.
        everything: whether to show all layouts, not only the best ones.
        color: whether to color which layouts hold the targets, or fit.
    """
    fitting = [prediction for prediction in plan.layouts if prediction.layout in plan.speeds]
    shown = fitting if everything else fitting[:SHOWN]
    lines = [*header(plan), asked(workload), ""]
    lines += _table(plan, shown, workload, color)
    rest = len(plan.layouts) - len(shown)
    if rest:
        lines.append(f"{rest} more: {len(fitting) - len(shown)} fit, {len(plan.layouts) - len(fitting)} do not")
    return "\n".join([*lines, *_legend(plan, shown), *_enough(plan, workload), *_calibration(plan)])


def _table(plan: Plan, shown: Sequence[Prediction], workload: Workload, color: bool) -> list[str]:
    if not shown:
        return [
            line
            for prediction in plan.layouts[:SHOWN]
            for line in hanging((name(prediction.layout), verdict(prediction)), reason(prediction))
        ]
    headings = [*HEADINGS, *(("targets",) if workload.has_targets else ())]
    rows = [_cells(prediction, plan.speeds[prediction.layout]) for prediction in shown]
    if not workload.requests:
        headings.pop(6)
        rows = [(*row[:6], *row[7:]) for row in rows]
    column = len(headings) - 1 if workload.has_targets else 1
    left = (0, 1, *range(7 if workload.requests else 6, len(headings)))
    return aligned(headings, rows, left, column if color else None, COLORS)


def _cells(prediction: Prediction, speed: Speed) -> tuple[str, ...]:
    targets = ("yes" if speed.holds("high") else "maybe" if speed.holds() else "no",)
    return (
        name(prediction.layout),
        verdict(prediction),
        _seconds(speed.first) if not speed.overloaded else "grows",
        band(speed.each, lambda seconds: number(seconds * 1000)),
        band(speed.rate, number),
        number(speed.rate_per_gpu),
        _seconds(speed.makespan) if speed.makespan else "",
        speed.bound_by,
        *(targets if speed.workload.has_targets else ()),
    )


def number(value: float) -> str:
    """Return a number with about three digits: 0.123, 12.3, 4,560."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _seconds(value: Band) -> str:
    form: Callable[[float], str] = number
    return band(value, form)


def _legend(plan: Plan, shown: Sequence[Prediction]) -> list[str]:
    if not shown:
        return []
    best = plan.speeds[shown[0].layout]
    lines = ["low\N{EN DASH}expected\N{EN DASH}high; per token: after the first"]
    if best.overloaded:
        lines.append("The requests come faster than the best layout can serve them, so that the queue grows.")
    if not best.calibrated:
        lines.append(f"not calibrated, so the bands are wider: {', '.join(best.notes)}")
    return lines


def _enough(plan: Plan, workload: Workload) -> list[str]:
    if not workload.has_targets or not plan.speeds:
        return []
    given, enough = plan.context.cluster.gpus, plan.enough
    if enough is None:
        return ["", f"The targets do not hold on {given} GPUs, however they are divided into groups."]
    cluster = enough.cluster
    where = f"{cluster.gpus_per_node} GPUs" if cluster.gpus_per_node > 1 else "1 GPU"
    size = where if cluster.nodes == 1 else f"{cluster.nodes} nodes of {where}"
    groups = f"{enough.groups} groups of {size}" if enough.groups > 1 else f"one group of {size}"
    count = "1 GPU" if enough.gpus == 1 else f"{enough.gpus} GPUs"
    return ["", f"The targets hold, as expected, from {count} on: {groups}, {name(enough.layout)}."]


def _calibration(plan: Plan) -> list[str]:
    """Return the machine's own factors, and how far off each timed call was."""
    found = plan.calibration
    if found is None:
        return []
    headings = ("timed call", "tokens/s", "predicted before", "with own factors", "left out of the fit")
    rows = [
        (_short(each.call.workload), number(each.call.rate), *(_off(value) for value in _errors(each)))
        for each in found.calls
    ]
    factors = ", ".join(
        f"{text} {getattr(found.factors, name):.3g} instead of {getattr(FITTED, name):.3g}"
        for name, text in OWN.items()
    )
    return ["", f"Calibrated: {factors}.", *aligned(headings, rows, (0,))]


def _errors(each: CalledAgain) -> tuple[float, float, float]:
    return each.before, each.after, each.left_out


def _off(error: float) -> str:
    return f"{error:+.1%}"


def _short(workload: Workload) -> str:
    size = f"{workload.prompt:,} + {workload.answer:,} tokens"
    if workload.requests is not None:
        return f"{workload.requests:,} at once, {size}"
    return f"{workload.concurrency:,} kept running, {size}" if workload.concurrency else f"{workload.rate:g}/s, {size}"
