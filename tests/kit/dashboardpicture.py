"""A picture of a dashboard from what Prometheus answers, where no Grafana can be had: its panels, drawn as SVG."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from kit.prometheus import Prometheus, Series, filled
from kit.schemas import Document

COLUMN, ROW = 46, 22
"""Pixels of a cell of Grafana's grid."""
GAP, TOP, LEFT, LEGEND = 4, 26, 46, 22
"""Pixels: between panels, for the title, for the scale, for the legend."""
COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b")
POINTS = 240
"""Of a line."""
PREFIXED = {"watt": "W", "hertz": "Hz", "Bps": "B/s"}
PREFIXES = {1e9: "G", 1e6: "M", 1e3: "k"}
NOTE = (
    "Drawn from Prometheus' answers to the dashboard's queries while the test of it ran; not a screenshot of Grafana."
)


@dataclass(frozen=True)
class Line:
    """A series by its legend: pairs of seconds and a value."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Span:
    """A time, in seconds since the epoch."""

    start: float
    end: float

    @property
    def step(self) -> float:
        """Seconds between two points."""
        return max(1.0, (self.end - self.start) / POINTS)


def picture(dashboard: Document, server: Prometheus, span: Span, variables: dict[str, str]) -> str:
    """Return the dashboard over a time, as SVG."""
    parts = []
    for panel in dashboard["panels"]:
        lines = [line for target in panel.get("targets", ()) for line in _lines(server, target, span, variables)]
        parts += [*_panel(panel, lines, span)]
    width = 24 * COLUMN
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"]) * ROW + ROW
    note = _text(GAP, height - 6, f"{NOTE} {span.end - span.start:.0f} s.", "note")
    style = "text{font:11px sans-serif;fill:#222}.title{font-weight:bold}.row{font:bold 14px sans-serif}"
    style += ".big{font:bold 40px sans-serif;text-anchor:middle}.scale{font-size:9px;text-anchor:end}.note{fill:#666}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    body = "\n".join([f'<rect width="{width}" height="{height}" fill="#f4f5f5"/>', *parts, note])
    return f"{head}\n<style>{style}</style>\n{body}\n</svg>\n"


def _lines(server: Prometheus, target: Document, span: Span, variables: dict[str, str]) -> Iterator[Line]:
    for series in server.course(filled(target["expr"], variables), span.start, span.end, span.step):
        points = [(float(at), float(value)) for at, value in series["values"] if math.isfinite(float(value))]
        if points:
            yield Line(legend(target["legendFormat"], series), points)


def legend(form: str, series: Series) -> str:
    """Return a legend with its labels filled in, as Grafana does."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: str(series["metric"].get(match[1], "")), form)


def scaled(value: float, unit: str) -> str:
    """Return a value as people read it, in one of the dashboard's units."""
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "s":
        return f"{value * 1000:.0f} ms" if 0 < value < 1 else f"{value:.3g} s"
    if unit in PREFIXED:
        size = next((size for size in PREFIXES if value >= size), 1.0)
        return f"{value / size:.3g} {PREFIXES.get(size, '')}{PREFIXED[unit]}"
    return f"{value:.3g}{'/s' if unit == 'reqps' else ''}"


def _panel(panel: Document, lines: Sequence[Line], span: Span) -> Iterator[str]:
    place = panel["gridPos"]
    x, y = place["x"] * COLUMN, place["y"] * ROW
    width, height = place["w"] * COLUMN, place["h"] * ROW
    if panel["type"] == "row":
        yield _text(x + GAP, y + 16, panel["title"], "row")
        return
    yield (
        f'<rect x="{x + GAP / 2}" y="{y + GAP / 2}" width="{width - GAP}" height="{height - GAP}" rx="3" fill="#fff"'
        ' stroke="#d8d9da"/>'
    )
    yield _text(x + 8, y + 17, panel["title"], "title")
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "stat":
        last = lines[0].points[-1][1] if lines else math.nan
        yield _text(x + width / 2, y + height / 2 + 14, scaled(last, unit), "big")
        return
    box = (x + LEFT, y + TOP, width - LEFT - 10, height - TOP - LEGEND - 8)
    yield from _graph(box, lines, span, unit)


def _graph(box: tuple[float, float, float, float], lines: Sequence[Line], span: Span, unit: str) -> Iterator[str]:
    x, y, width, height = box
    top = max((value for line in lines for _, value in line.points), default=0.0) or 1.0
    for share in (0.0, 0.5, 1.0):
        level = y + height * (1 - share)
        yield f'<path d="M{x} {level:.1f}h{width}" stroke="#e9e9e9"/>'
        yield _text(x - 4, level + 3, scaled(top * share, unit), "scale")
    for number, line in enumerate(lines):
        color = COLORS[number % len(COLORS)]
        shown = [
            (x + width * (at - span.start) / (span.end - span.start), y + height * (1 - value / top))
            for at, value in line.points
        ]
        for part in _unbroken(shown, width / POINTS * 2.5):
            path = " ".join(f"{across:.1f},{down:.1f}" for across, down in part)
            yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.3"/>'
        at = x + number * width / max(1, len(lines)) - (LEFT - 12 if number == 0 else 0)
        yield f'<rect x="{at:.0f}" y="{y + height + 14}" width="10" height="3" fill="{color}"/>'
        yield _text(at + 14, y + height + 19, line.name, "legend")


def _unbroken(points: Sequence[tuple[float, float]], gap: float) -> Iterator[list[tuple[float, float]]]:
    """Yield the parts of a line between which nothing was measured."""
    part: list[tuple[float, float]] = []
    for point in points:
        if part and point[0] - part[-1][0] > gap:
            yield part
            part = []
        part.append(point)
    yield part


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}">{escape(words)}</text>'
