"""How often measured numbers are inside their bands, and how wide these are; prints the table of docs/planner.md."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from unit.planning_data.table import of_today, own, published, started
from vmn.core.planning.memory.activation import Band


@dataclass(frozen=True)
class Sample:
    """A measured number and its band.

    Attributes:
        term: what it is.
        band: the predicted band.
        measured: the measured number.
        whole: what the half-width is compared with: the KV cache of the start, in the same unit.
    """

    term: str
    band: Band
    measured: float
    whole: float

    @property
    def is_inside(self) -> bool:
        """Whether the measured number is in the band, as far as vLLM prints it."""
        slack = ROUNDING if self.whole < 10_000 else 0.0
        return self.band.low - slack <= self.measured <= self.band.high + slack

    @property
    def half_width(self) -> float:
        """Half of the band's width, as a share of the KV cache."""
        return (self.band.high - self.band.low) / 2 / self.whole


ROUNDING = 0.06
"""GiB by which numbers may differ: vLLM prints hundredths, and CUDA's libraries take some MiB."""
TERMS = {"activation": "activations", "available": "KV cache, GiB", "tokens": "KV cache, tokens"}


def samples() -> list[Sample]:
    """Return all measured numbers that have a band, of the starts whose settings are known."""
    points = [point for point in [*own(), *started(), *of_today(), *published()] if point.measured.get("complete")]
    found: list[Sample] = []
    for point in points:
        ranks, measured = point.prediction.ranks, point.measured
        if not ranks:
            continue
        when = "0.33" if point.context.vllm.since >= (0, 33) else "earlier"
        how = "eager" if point.context.batch.eager else "compiled"
        for name in ("activation", "available"):
            for rank, number in zip(ranks, measured.get(name) or [], strict=False):
                term = f"{TERMS[name]}, {when}, {how}"
                found.append(Sample(term, getattr(rank, name), number, measured.get("available", [number])[0]))
        if measured.get("tokens"):
            term = f"{TERMS['tokens']}, {when}, {how}"
            found.append(Sample(term, point.prediction.tokens, measured["tokens"], measured["tokens"]))
    return found


def calibration() -> str:
    """Return the table of how often measured numbers are inside their bands, and how wide these are."""
    by_term: dict[str, list[Sample]] = {}
    for sample in samples():
        by_term.setdefault(sample.term, []).append(sample)
    lines = [
        "| Number, version, mode | Measured | Inside | Half-width, median | Half-width, widest |",
        "| --- | --- | --- | --- | --- |",
    ]
    for term, those in sorted(by_term.items()):
        widths = [sample.half_width for sample in those]
        inside = sum(sample.is_inside for sample in those)
        lines.append(f"| {term} | {len(those)} | {inside} | {statistics.median(widths):.1%} | {max(widths):.1%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(calibration())
