"""The ledgers of a layout as a picture: one bar for each pipeline stage, in SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from vmn.app.planner import Plan
from vmn.core.planning.prediction import Rank
from vmn.report.plan import name, verdict
from vmn.report.plan_ledger import ACTIVATION, CACHE, GRAPHS, OTHER, UNUSED, Ledger, ledger

COLOURS = {
    UNUSED: "#a9adb3",
    "attention": "#7aa6dc",
    "feed-forward": "#76c7c0",
    "experts": "#c39bd3",
    "embedding and head": "#f2d15c",
    "other weights": "#c9a57f",
    ACTIVATION: "#f08a80",
    "NCCL and graphs": "#f5ab5b",
    CACHE: "#7cc47f",
}
"""Pastels: the dark labels on them are readable, and so are they on white and on black."""
PARTS = {
    "embedding": "embedding and head",
    "head": "embedding and head",
    OTHER: "NCCL and graphs",
    GRAPHS: "NCCL and graphs",
}
"""Lines that a bar combines; lines without a color are among the other weights."""
FITS = {"yes": "fits", "maybe": "may fit", "no": "does not fit"}
WIDTH, LEFT, BAR, STEP, TOP = 1000, 110, 860, 52, 112
STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .title { font-size: 16px; font-weight: 600; }
    .in { font-size: 12px; fill: #111; text-anchor: middle; }
    .edge { stroke: #1f2328; stroke-width: 2; }
    .back { fill: #ffffff; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .in { fill: #111; }
      .edge { stroke: #e6edf3; }
      .back { fill: #0d1117; }
    }"""


def svg(plan: Plan) -> str:
    """Return the best layout's picture."""
    best = plan.best
    ledgers = [segments(ledger(plan.context, rank)) for rank in best.ranks]
    used = [_used(parts) for parts in ledgers]
    scale = BAR / max(*used, plan.context.gpu.gib * 100)
    height = TOP + STEP * len(ledgers) + 34
    title = f"{plan.model.name} in {name(best.layout)} on {plan.context.gpu.name} {FITS[verdict(best)]}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title">',
        f'  <title id="title">{escape(title)}</title>',
        f"  <style>{STYLE}\n  </style>",
        f'  <rect class="back" width="{WIDTH}" height="{height}"/>',
        f'  <text class="title" x="16" y="28">{escape(title)}</text>',
        *_legend(ledgers),
    ]
    for index, (rank, parts) in enumerate(zip(best.ranks, ledgers, strict=True)):
        lines += _bar(rank, parts, TOP + STEP * index, scale)
    lines += _edge(plan.context.gpu.gib, scale, len(ledgers))
    return "\n".join([*lines, "</svg>", ""])


def segments(lines: Ledger) -> dict[str, int]:
    """Return a ledger's lines taken together to what a bar shows, in the order of the legend."""
    together: dict[str, int] = {}
    for line, size in lines.items():
        part = PARTS.get(line, line if line in COLOURS else "other weights")
        together[part] = together.get(part, 0) + size
    return {part: together[part] for part in COLOURS if part in together}


def _used(parts: Mapping[str, int]) -> int:
    """Return the length of a bar, without memory that is missing for the KV cache."""
    return sum(size for size in parts.values() if size > 0)


def _legend(ledgers: Sequence[Mapping[str, int]]) -> Iterator[str]:
    names = [part for part in COLOURS if any(parts.get(part, 0) for parts in ledgers)]
    for index, part in enumerate(names):
        x, y = 16 + index % 5 * 195, 46 + index // 5 * 24
        yield f'  <rect x="{x}" y="{y}" width="14" height="14" rx="2" fill="{COLOURS[part]}"/>'
        yield f'  <text x="{x + 20}" y="{y + 12}">{escape(part)}</text>'


def _bar(rank: Rank, parts: Mapping[str, int], y: int, scale: float) -> Iterator[str]:
    yield f'  <text x="16" y="{y + 14}">stage {rank.stage}</text>'
    yield f'  <text x="16" y="{y + 29}" opacity="0.75">{rank.layers} layers</text>'
    x = float(LEFT)
    for part, size in parts.items():
        if size <= 0:
            continue
        width = size * scale
        gib = f"{size / 100:.2f}"
        yield f'  <rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="34" fill="{COLOURS[part]}">'
        yield f"    <title>{escape(part)}: {gib} GiB</title>"
        yield "  </rect>"
        if width >= 29:
            yield f'  <text class="in" x="{x + width / 2:.1f}" y="{y + 21}">{gib}</text>'
        x += width
    if parts.get(CACHE, 0) < 0:
        yield f'  <text x="{LEFT}" y="{y + 45}">{-parts[CACHE] / 100:.2f} GiB missing</text>'


def _edge(gib: float, scale: float, bars: int) -> Iterator[str]:
    """Yield the end of the GPU's memory."""
    x, end = LEFT + gib * 100 * scale, TOP + STEP * bars
    yield f'  <line class="edge" x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{end}"/>'
    yield f'  <text x="{x:.1f}" y="{end + 18}" text-anchor="end">{gib:.2f} GiB</text>'
