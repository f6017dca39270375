"""The results of ``vmn bench`` as text and as JSON, and two runs compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vmn.core.bench.compare import METRICS, Difference
from vmn.core.bench.points import Point
from vmn.core.bench.results import Measured
from vmn.core.bench.served import Served
from vmn.report.bench_standard import standard_report
from vmn.report.plan import name
from vmn.report.plan_speed import number
from vmn.report.plan_speed_json import speed_json
from vmn.report.table import aligned

FORM = 1
"""Number of the form of the report."""
HEADINGS = (
    "per second",
    "at once",
    "requests",
    "tokens/s",
    "predicted",
    "share",
    "first token, s",
    "predicted",
    "per token, ms",
    "predicted",
    "cached",
    "predicted",
)


def text(served: Served, measured: Sequence[Measured], without: str) -> str:
    """Return a table of what was measured beside the prediction.

    Args:
        served: the release.
        measured: the measurements.
        without: why the plan predicts nothing, empty if it does.
    """
    where = f"{served.groups} x {name(served.layout)}" if served.groups > 1 else name(served.layout)
    lines = [f"{served.name} as release {served.release}, {where}, vLLM {served.version}"]
    sizes = dict.fromkeys((each.point.prompt, each.point.answer) for each in measured)
    for prompt, answer in sizes:
        rows = [each for each in measured if (each.point.prompt, each.point.answer) == (prompt, answer)]
        prefix = rows[0].point.prefix
        shared = f"; all prompts share the first {prefix:,} tokens" if prefix else ""
        lines += ["", f"{prompt:,} prompt tokens and {answer:,} answer tokens per request{shared}", *_table(rows)]
    lines += ["", *_reasons(measured)]
    if without:
        lines.append(f"Not predicted: {without}.")
    return "\n".join(lines).rstrip()


def _table(rows: Sequence[Measured]) -> list[str]:
    """Return a table without the columns that are empty in each row."""
    cells = [_cells(each) for each in rows]
    keep = [at for at in range(len(HEADINGS)) if any(row[at] for row in cells)]
    return aligned([HEADINGS[at] for at in keep], [[row[at] for at in keep] for row in cells], ())


def _cells(each: Measured) -> tuple[str, ...]:
    speed, groups = each.predicted, each.groups
    return (
        f"{each.point.rate:g}" if each.point.rate else "",
        f"{each.point.concurrency:,}" if each.point.concurrency else "",
        f"{each.point.requests:,}",
        number(each.rate),
        number(speed.rate.expected * groups) if speed else "",
        f"{each.share:.0%}" if each.share is not None else "",
        number(each.first),
        ("grows" if speed.overloaded else number(speed.first.expected)) if speed else "",
        number(each.each * 1000),
        number(speed.each.expected * 1000) if speed else "",
        *_cached(each),
    )


def _cached(each: Measured) -> tuple[str, str]:
    """Return how much of the prompts was found in the prefix cache, if they share a beginning."""
    if not each.point.prefix:
        return "", ""
    planned = each.planned_hits
    return f"{each.hits:.0%}" if each.hits is not None else "", f"{planned:.0%}" if planned is not None else ""


def _reasons(measured: Sequence[Measured]) -> list[str]:
    found = []
    for each in measured:
        if reasons := ", ".join(each.reasons()):
            found.append(f"{each.point.load}: {reasons}")
    return found


def as_json(served: Served, measured: Sequence[Measured], without: str, began: str) -> str:
    """Return the report, which ``--compare`` and ``vmn plan --calibrate-speed`` read.

    Args:
        served: the release.
        measured: the measurements.
        without: why the plan predicts nothing, empty if it does.
        began: when the benchmark began, as in ISO 8601.
    """
    content = {
        "form": FORM,
        "release": served.release,
        "namespace": served.namespace,
        "model": served.name,
        "vllm_version": served.version,
        "groups": served.groups,
        "layout": asdict(served.layout),
        "began": began,
        "without_prediction": without or None,
        "points": [_point(each) for each in measured],
        "calls": [each.result for each in measured if not each.point.rate and not each.point.prefix],
        "reports": [standard_report(served, each, began) for each in measured],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _point(each: Measured) -> dict[str, Any]:
    return {
        "point": asdict(each.point),
        "result": each.result,
        "counters": each.counters,
        "predicted": speed_json(each.predicted) if each.predicted else None,
        "share_of_prediction": round(each.share, 3) if each.share is not None else None,
        "cached_share": {"measured": _rounded(each.hits), "predicted": _rounded(each.planned_hits)},
        "explained_by": list(each.reasons()),
    }


def _rounded(share: float | None) -> float | None:
    return round(share, 3) if share is not None else None


def comparison(found: Sequence[Difference]) -> str:
    """Return two benchmarks side by side."""
    headings = ("tokens", "requests", "metric", "before", "after", "change", "noise", "differs")
    rows = []
    for each in found:
        prompt, answer, concurrency, rate, prefix = each.key
        shared = f", {prefix:,} shared" if prefix else ""
        load = Point(0, prompt, answer, concurrency, 0, rate=rate).load
        verdict = ("slower" if each.is_worse else "faster") if each.is_real else "no"
        shown = f"{each.noise:.1%}" if each.repeats > 1 else f"{each.noise:.0%} assumed"
        sizes = (f"{prompt:,} + {answer:,}{shared}", load, METRICS[each.metric])
        rows.append((*sizes, number(each.before), number(each.after), f"{each.change:+.1%}", shown, verdict))
    lines = aligned(headings, rows, (0, 2, 7))
    if any(each.repeats < 2 for each in found):
        lines += ["", "Without repeats, noise is assumed. Measure it with --repeats 3."]
    return "\n".join(lines)
