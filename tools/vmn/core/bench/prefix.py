"""Which part of the prompts of a benchmark the prefix cache holds: a shared beginning, and what the client repeats."""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.bench.points import Point
from vmn.core.planning.prediction import Prediction

OFF = "no-enable-prefix-caching"
"""The flag that turns the prefix cache off; it is on by default since the first engine (``EngineArgs``)."""


@dataclass(frozen=True)
class PrefixCache:
    """The prefix caches of a release.

    ``vllm bench serve`` sends the first prompt to see that the server answers, then as warm-up, and then first of those
    that count (0.33, ``benchmark`` in ``benchmarks/serve.py``). With ``--random-prefix-len``, all prompts begin alike.

    Attributes:
        block: tokens of a block; only whole blocks are found.
        lost: blocks at the end of what is found that are computed nevertheless: one with drafted tokens
            (``use_eagle_block_drop``).
        late: prompts after the first one that do not find a shared beginning: one in models with states, which are kept
            where prompts turned out to differ (``shared_prefix_boundary``).
        replicas: caches, each of which has to see a prompt before it finds it.
    """

    block: int
    lost: int
    late: int
    replicas: int

    def share(self, point: Point) -> float:
        """Return the share of the prompts' tokens that are found, of the requests that count."""
        others = max(0, point.requests - 1 - self.late)
        return (self._repeated(point) + others * self._shared(point)) / (point.requests * point.prompt)

    def share_of_all(self, point: Point) -> float:
        """Return the same of all requests, also those before the measurement, as the servers' counters have it."""
        first = point.sent - point.requests + 1
        missed = min(self.replicas, first)
        others = max(0, point.requests - 1 - self.late - (self.replicas - missed))
        found = (first - missed) * self._repeated(point) + others * self._shared(point)
        return found / (point.sent * point.prompt)

    def _repeated(self, point: Point) -> int:
        """Return the tokens of a prompt that are found when it comes again; the last token is always computed."""
        return self._whole(point.prompt - 1)

    def _shared(self, point: Point) -> int:
        return min(self._repeated(point), self._whole(point.prefix))

    def _whole(self, tokens: int) -> int:
        return max(0, tokens // self.block - self.lost) * self.block


def prefix_cache(prediction: Prediction, groups: int, is_hybrid: bool, has_cache: bool) -> PrefixCache | None:
    """Return the prefix caches of a release, None without any.

    Args:
        prediction: the layout of a group.
        groups: groups of the release.
        is_hybrid: whether some layers keep a state.
        has_cache: whether the prefix cache is on.
    """
    cache = prediction.cache
    if cache is None or not has_cache:
        return None
    tokens = [group.spec.block for group in cache.groups if group.spec.kind in ("full", "window", "chunk")]
    block = max([cache.block, *tokens]) * cache.shards
    return PrefixCache(block, int(prediction.drafted > 0), int(is_hybrid), groups * prediction.layout.data)
