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
"""Share of prompts by which the prefix cache explains a deviation: found beyond what is planned, or less."""
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
        planned_hits: share of all prompts in the prefix cache that the plan expects, None without a prediction.
    """

    point: Point
    result: Mapping[str, Any]
    counters: Mapping[str, float] = field(default_factory=dict)
    predicted: Speed | None = None
    groups: int = 1
    planned_tokens: float = 0.0
    planned_hits: float | None = None

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
    def others(self) -> float:
        """Requests of others that the servers finished meanwhile, 0 if the counters do not tell."""
        return max(0.0, self.counters.get("requests_ended", 0.0) - self.point.sent)

    @property
    def share(self) -> float | None:
        """Measured over predicted tokens per second, None without a prediction."""
        return self.rate / (self.predicted.rate.expected * self.groups) if self.predicted else None

    @property
    def hits(self) -> float | None:
        """Share of the prompts' tokens in the prefix cache, also of the warm-up; None if the counters do not tell."""
        asked = self.counters.get("prefix_cache_queries_total", 0.0)
        return self.counters.get("prefix_cache_hits_total", 0.0) / asked if asked else None

    def reasons(self) -> Iterator[str]:
        """Yield what explains that a point is slower or faster than predicted."""
        yield from self._expected()
        counters, failed = self.counters, int(self.result.get("failed") or 0)
        if failed:
            yield f"{failed} requests failed"
        if self.others:
            yield f"{self.others:.0f} requests from other clients ran at the same time"
        held = counters.get("kv_cache_tokens", 0.0)
        if self.planned_tokens and 0 < held < FEWER_TOKENS * self.planned_tokens:
            yield f"the KV cache holds {held:,.0f} tokens, not {self.planned_tokens:,.0f} as planned"
        if (share := accepted(counters)) is not None:
            yield f"{share:.0%} of the drafts were accepted, which the prediction takes into account"
        if preempted := counters.get("num_preemptions_total", 0.0):
            yield f"{preempted:.0f} preemptions"
        if self.hits is not None and abs(self.hits - (self.planned_hits or 0.0)) >= HITS:
            planned = "" if self.planned_hits is None else f", not {self.planned_hits:.0%} as planned"
            yield f"{self.hits:.0%} of the prompts' tokens were in the prefix cache{planned}"
        begun = counters.get("request_queue_time_seconds_count", 0.0)
        waited = counters.get("request_queue_time_seconds_sum", 0.0) / begun if begun else 0.0
        if self.first and waited / self.first >= QUEUE:
            yield f"requests waited {waited:.3g} s in the queue"

    def _expected(self) -> Iterator[str]:
        """Yield what the plan expects of requests at a rate that the release can't keep up with."""
        if self.predicted is None or not self.point.rate:
            return
        if self.predicted.overloaded:
            yield "the plan expects that requests come faster than the release answers, so that the queue grows"
        elif self.predicted.workload.concurrency:
            yield f"the plan expects that {self.point.most:,} requests always run, because they come faster than that"


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


def accepted(counters: Mapping[str, float]) -> float | None:
    """Return the share of the drafts that were accepted, None if nothing was drafted."""
    drafted = counters.get("spec_decode_num_draft_tokens_total", 0.0)
    return counters.get("spec_decode_num_accepted_tokens_total", 0.0) / drafted if drafted else None


def slowest_share(measured: Sequence[Measured]) -> float | None:
    """Return the least share of the prediction that a point reached, None without predictions."""
    return min((point.share for point in measured if point.share is not None), default=None)
