"""What a benchmark measured, beside what the plan predicts, and what explains the difference."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmn.core.bench.points import Point
from vmn.core.speed.workload import Speed

MARK = "VMN "
"""Beginning of the pod's lines for vmn."""
FEWER_TOKENS = 0.95
"""Share of the planned KV cache below which it explains a deviation."""
HITS = 0.02
"""Share of prompts in the prefix cache from which it explains a deviation."""
QUEUE = 0.2
"""Share of the time to the first token in the queue from which it explains a deviation."""


@dataclass(frozen=True)
class Measured:
    """A point with its result.

    Attributes:
        point: what was asked.
        result: what ``vllm bench serve`` saved (0.33, ``benchmarks/serve.py``).
        counters: how the servers' counters changed; ``kv_cache_tokens`` is what their KV caches hold.
        predicted: what the plan says, None without a prediction.
        groups: groups between which the requests are divided; the prediction is of one of them.
        planned_tokens: tokens of the KV cache that the plan expects, 0 without a prediction.
    """

    point: Point
    result: Mapping[str, Any]
    counters: Mapping[str, float] = field(default_factory=dict)
    predicted: Speed | None = None
    groups: int = 1
    planned_tokens: float = 0.0

    @property
    def rate(self) -> float:
        """Tokens of answers per second."""
        return float(self.result["output_throughput"])

    @property
    def first(self) -> float:
        """Seconds to the first token, on average."""
        return float(self.result["mean_ttft_ms"]) / 1000

    @property
    def each(self) -> float:
        """Seconds per further token, on average."""
        return float(self.result["mean_tpot_ms"]) / 1000

    @property
    def share(self) -> float | None:
        """Measured over predicted tokens per second, None without a prediction."""
        return self.rate / (self.predicted.rate.expected * self.groups) if self.predicted else None

    def reasons(self) -> Iterator[str]:
        """Yield what explains that a point is slower or faster than predicted."""
        counters, failed = self.counters, int(self.result.get("failed") or 0)
        if failed:
            yield f"{failed} requests failed"
        held = counters.get("kv_cache_tokens", 0.0)
        if self.planned_tokens and 0 < held < FEWER_TOKENS * self.planned_tokens:
            yield f"the KV cache holds {held:,.0f} tokens, not {self.planned_tokens:,.0f} as planned"
        if preempted := counters.get("num_preemptions_total", 0.0):
            yield f"{preempted:.0f} preemptions"
        asked = counters.get("prefix_cache_queries_total", 0.0)
        if asked and (hits := counters.get("prefix_cache_hits_total", 0.0) / asked) >= HITS:
            yield f"{hits:.0%} of the prompts' tokens were in the prefix cache"
        begun = counters.get("request_queue_time_seconds_count", 0.0)
        waited = counters.get("request_queue_time_seconds_sum", 0.0) / begun if begun else 0.0
        if self.first and waited / self.first >= QUEUE:
            yield f"requests waited {waited:.3g} s in the queue"


@dataclass(frozen=True)
class PodOutput:
    """What the pod has printed so far.

    Attributes:
        begun: number of points that have begun.
        results: results and counters by the index of their point.
        error: what went wrong, empty if nothing did.
    """

    begun: int
    results: Mapping[int, tuple[Mapping[str, Any], Mapping[str, float]]]
    error: str

    @property
    def rates(self) -> dict[int, float]:
        """Tokens of answers per second of the points that are done."""
        return {index: float(result["output_throughput"]) for index, (result, _) in self.results.items()}


def read_output(log: str) -> PodOutput:
    """Return what the pod of a benchmark has printed; a line that is cut off counts when it is whole."""
    begun, error = 0, ""
    results: dict[int, tuple[Mapping[str, Any], Mapping[str, float]]] = {}
    for line in log.splitlines():
        if not line.startswith(MARK):
            continue
        try:
            content = json.loads(line.removeprefix(MARK))
        except ValueError:
            continue
        if "result" in content:
            results[content["index"]] = content["result"], content.get("counters") or {}
        elif "error" in content:
            error = str(content["error"])
        elif content.get("begins"):
            begun = content["index"] + 1
    return PodOutput(begun, results, error)


def slowest_share(measured: Sequence[Measured]) -> float | None:
    """Return the least share of the prediction that a point reached, None without predictions."""
    return min((point.share for point in measured if point.share is not None), default=None)
