"""Throughput against latency as a picture: what was measured, and what was predicted with its band."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from vmn.core.bench.results import Measured
from vmn.report.plan_speed import number

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 80, 30, 50, 60
TICKS = 5
MEASURED, PREDICTED = "#1f6feb", "#8b949e"
STYLE = "text{font:13px sans-serif;fill:#24292f}.small{font-size:11px}.axis{stroke:#57606a}.grid{stroke:#d0d7de}"


def svg(title: str, measured: Sequence[Measured]) -> str:
    """Return tokens per second over milliseconds per token, one dot for each measurement.

    Args:
        title: the heading.
        measured: the measurements.
    """
    real = [(each.each * 1000, each.rate, _label(each)) for each in measured]
    plan = [
        (each.predicted.each.expected * 1000, each.predicted.rate.expected * each.groups, _label(each))
        for each in measured
        if each.predicted
    ]
    most_x = 1.1 * max(x for x, _, _ in [*real, *plan])
    most_y = 1.1 * max(y for _, y, _ in [*real, *plan])

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / (most_x or 1)
        return across, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / (most_y or 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="28">{escape(title)}</text>',
    ]
    for tick in range(TICKS + 1):
        x, y = most_x * tick / TICKS, most_y * tick / TICKS
        across, up = place(x, y)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up:.1f}" y2="{up:.1f}"/>')
        parts.append(f'<text class="small" x="{LEFT - 8}" y="{up + 4:.1f}" text-anchor="end">{number(y)}</text>')
        parts.append(
            f'<text class="small" x="{across:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{number(x)}</text>'
        )
    parts += _series(plan, PREDICTED, place, "predicted", 0)
    parts += _series(real, MEASURED, place, "measured", 1)
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 14}" text-anchor="middle">milliseconds per token</text>')
    parts.append(
        f'<text transform="translate(18 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">tokens per second</text>'
    )
    return "\n".join([*parts, "</svg>", ""])


def _label(each: Measured) -> str:
    """Return the requests at once, or those per second."""
    return f"{each.point.rate:g}/s" if each.point.rate else f"{each.point.concurrency}"


def _series(dots: Sequence[tuple[float, float, str]], color: str, place: object, word: str, row: int) -> list[str]:
    """Return labelled dots, joined in their order, and the entry of the legend."""
    assert callable(place)
    if not dots:
        return []
    spots = [(*place(x, y), label) for x, y, label in dots]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in spots)
    parts = [f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.5"/>']
    for x, y, label in spots:
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"/>')
        parts.append(f'<text class="small" x="{x + 6:.1f}" y="{y - 6:.1f}">{escape(label)}</text>')
    at = WIDTH - RIGHT - 110
    parts.append(f'<circle cx="{at}" cy="{TOP + 18 * row}" r="4" fill="{color}"/>')
    parts.append(f'<text class="small" x="{at + 10}" y="{TOP + 4 + 18 * row}">{word}</text>')
    return parts
