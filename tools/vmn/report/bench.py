"""The results of ``vmn bench`` as text and as JSON, and two runs compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vmn.core.bench.compare import METRICS, Difference
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
    "at once",
    "requests",
    "tokens/s",
    "predicted",
    "share",
    "first token, s",
    "predicted",
    "per token, ms",
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
        lines += ["", f"{prompt:,} prompt tokens and {answer:,} answer tokens per request", *_table(rows)]
    lines += ["", *_reasons(measured)]
    if without:
        lines.append(f"Not predicted: {without}.")
    return "\n".join(lines).rstrip()


def _table(rows: Sequence[Measured]) -> list[str]:
    cells = [_cells(each) for each in rows]
    if all(each.predicted is None for each in rows):
        keep = [0, 1, 2, 5, 7]
        return aligned([HEADINGS[at] for at in keep], [[row[at] for at in keep] for row in cells], ())
    return aligned(HEADINGS, cells, ())


def _cells(each: Measured) -> tuple[str, ...]:
    speed, groups = each.predicted, each.groups
    return (
        f"{each.point.concurrency:,}",
        f"{each.point.requests:,}",
        number(each.rate),
        number(speed.rate.expected * groups) if speed else "",
        f"{each.share:.0%}" if each.share is not None else "",
        number(each.first),
        number(speed.first.expected) if speed else "",
        number(each.each * 1000),
        number(speed.each.expected * 1000) if speed else "",
    )


def _reasons(measured: Sequence[Measured]) -> list[str]:
    found = []
    for each in measured:
        if reasons := ", ".join(each.reasons()):
            found.append(f"{each.point.concurrency:,} at once: {reasons}")
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
        "calls": [each.result for each in measured],
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
        "explained_by": list(each.reasons()),
    }


def comparison(found: Sequence[Difference]) -> str:
    """Return two benchmarks side by side."""
    headings = ("tokens", "at once", "metric", "before", "after", "change", "noise", "differs")
    rows = []
    for each in found:
        prompt, answer, concurrency = each.key
        verdict = ("slower" if each.is_worse else "faster") if each.is_real else "no"
        shown = f"{each.noise:.1%}" if each.repeats > 1 else f"{each.noise:.0%} assumed"
        sizes = (f"{prompt:,} + {answer:,}", f"{concurrency:,}", METRICS[each.metric])
        rows.append((*sizes, number(each.before), number(each.after), f"{each.change:+.1%}", shown, verdict))
    lines = aligned(headings, rows, (0, 2, 7))
    if any(each.repeats < 2 for each in found):
        lines += ["", "Without repeats, noise is assumed. Measure it with --repeats 3."]
    return "\n".join(lines)
