"""Writes the tables of docs/speed.md and docs/speed-residuals.md: ``python -m speed.table``."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from speed import served
from speed.calls import Call, Start, calls
from speed.fit import left_out
from vmn.report.plan import name

DOCS = Path(__file__).resolve().parents[2] / "docs"
BEGIN = "<!-- table: PYTHONPATH=tools:benchmarks python -m speed.table -->"
BEGIN_SERVED = "<!-- servers: PYTHONPATH=tools:benchmarks python -m speed.table -->"
END = "<!-- end of table -->"


def table() -> str:
    """Return a row for each start: its calls, and their errors."""
    rows = [
        "| Start | Layout | Calls | Median error | 90 % within | Worst | In the band |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    given = calls()
    by_start: dict[str, list[Call]] = {}
    for call in given:
        by_start.setdefault(call.start.name, []).append(call)
    for own in by_start.values():
        rows.append(_row(own[0].start, own))
    inside = f"{sum(call.is_inside for call in given)} of {len(given)}"
    rows.append(f"| **all** | | {len(given)} | {_errors([call.error() for call in given])} | {inside} |")
    alone = _errors([error for _, error in left_out(given)])
    rows.append(f"| all, each start left out of the fit | | {len(given)} | {alone} | |")
    return "\n".join(rows)


def _row(start: Start, own: Sequence[Call]) -> str:
    inside = f"{sum(call.is_inside for call in own)} of {len(own)}"
    eager = ", eager" if start.context.plan.batch.eager else ""
    errors = _errors([call.error() for call in own])
    return f"| {start.name} | {name(start.layout)}{eager} | {len(own)} | {errors} | {inside} |"


def _errors(errors: Sequence[float]) -> str:
    """Return the median, the 90th percentile, and the largest of the errors' sizes."""
    sizes = sorted(abs(error) for error in errors)
    ninth = sizes[min(len(sizes) - 1, int(0.9 * len(sizes)))]
    return f"{statistics.median(sizes):.1%} | {ninth:.1%} | {sizes[-1]:.1%}"


def residuals() -> str:
    """Return a row for each call."""
    rows = [
        "| Start | Requests x (prompt + answer) | Measured, s | Predicted, s | Error |",
        "| --- | --- | --- | --- | --- |",
    ]
    for call in calls():
        makespan = call.predicted().makespan
        assert makespan
        shape = f"{call.requests} x ({call.prompt:,} + {call.answer:,})"
        error = f"{call.error():+.1%}"
        rows.append(f"| {call.start.name} | {shape} | {call.seconds:.4g} | {makespan.expected:.4g} | {error} |")
    return "\n".join(rows)


TABLES = (
    ("speed.md", BEGIN, table),
    ("speed.md", BEGIN_SERVED, served.table),
    ("speed-residuals.md", BEGIN, residuals),
)
"""Documents, the marks of their tables, and the tables."""


def main() -> None:
    """Write the tables into their documents."""
    for file, begin, content in TABLES:
        document = DOCS / file
        before, _, rest = document.read_text(encoding="utf-8").partition(begin)
        after = rest.partition(END)[2]
        document.write_text(f"{before}{begin}\n\n{content()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
