"""Two benchmarks compared: what differs by more than repeats of the same differ."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

QUANTILES = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 8: 2.31, 10: 2.23, 20: 2.09, 30: 2.04}
"""Student's t for 95 % on both sides, by degrees of freedom."""
WITHOUT_REPEATS = 0.05
"""Difference that counts as noise when nothing was repeated."""
METRICS = {
    "output_throughput": "tokens/s",
    "mean_ttft_ms": "time to the first token, ms",
    "mean_tpot_ms": "time per further token, ms",
}
"""What is compared, by vLLM's names."""

Key = tuple[int, int, int | None, float | None, int]
"""Prompt tokens, answer tokens, requests at once, requests per second, and tokens that all prompts share."""


class NotComparable(Exception):  # noqa: N818 - reads as what happened
    """Two benchmarks have no point in common, or a file is not a report."""


@dataclass(frozen=True)
class Difference:
    """A metric of the same point in two benchmarks.

    Attributes:
        key: the point.
        metric: vLLM's name of the metric.
        before: its mean in the first benchmark.
        after: its mean in the second one.
        noise: difference, as a share, up to which both may be the same.
        repeats: the smaller number of repeats.
    """

    key: Key
    metric: str
    before: float
    after: float
    noise: float
    repeats: int

    @property
    def change(self) -> float:
        """The difference as a share of the first benchmark's mean."""
        return self.after / self.before - 1

    @property
    def is_real(self) -> bool:
        """Whether the difference is larger than the noise."""
        return abs(self.change) > self.noise

    @property
    def is_worse(self) -> bool:
        """Whether the second benchmark is slower beyond noise."""
        return self.is_real and (self.change < 0) == (self.metric == "output_throughput")


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Difference]:
    """Return all metrics of the points that two reports have in common.

    Raises:
        NotComparable: there are none.
    """
    first, second = _by_point(one), _by_point(other)
    found = [
        _difference(key, metric, [result[metric] for result in first[key]], [result[metric] for result in second[key]])
        for key in first
        if key in second
        for metric in METRICS
        if all(result.get(metric) for result in (*first[key], *second[key]))
    ]
    if not found:
        raise NotComparable("The reports have no point in common: compare runs of the same preset.")
    return found


def _by_point(report: Mapping[str, Any]) -> dict[Key, list[Mapping[str, Any]]]:
    found: dict[Key, list[Mapping[str, Any]]] = {}
    try:
        for entry in report["points"]:
            point = entry["point"]
            key = point["prompt"], point["answer"], point["concurrency"], point.get("rate"), point.get("prefix", 0)
            found.setdefault(key, []).append(entry["result"])
    except (KeyError, TypeError) as error:
        raise NotComparable(f"A file is not a report of `vmn bench`: {error} is missing.") from error
    return found


def _difference(key: Key, metric: str, one: Sequence[float], other: Sequence[float]) -> Difference:
    before, after = statistics.fmean(one), statistics.fmean(other)
    return Difference(key, metric, before, after, noise(one, other), min(len(one), len(other)))


def noise(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the difference of two means, as a share of the first one, up to which both may be the same."""
    if min(len(one), len(other)) < 2:
        return WITHOUT_REPEATS
    error = math.sqrt(statistics.variance(one) / len(one) + statistics.variance(other) / len(other))
    degrees = max(known for known in QUANTILES if known <= len(one) + len(other) - 2)
    return QUANTILES[degrees] * error / statistics.fmean(one)
