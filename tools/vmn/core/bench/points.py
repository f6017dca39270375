"""What a benchmark asks: presets, and the points of a sweep over concurrency or over rates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Requests of one kind.

    Attributes:
        prompt: tokens of each prompt.
        answer: tokens of each answer.
        concurrency: requests that are kept running, one point each.
        what: who sends such requests.
    """

    prompt: int
    answer: int
    concurrency: tuple[int, ...]
    what: str


PRESETS = {
    "chat": Preset(1024, 256, (1, 8, 32, 128), "a conversation"),
    "long-prompts": Preset(8192, 256, (1, 4, 16, 32), "documents and code as context"),
    "long-answers": Preset(512, 2048, (1, 8, 32, 128), "reasoning"),
    "batch": Preset(512, 128, (256,), "as many requests as possible"),
}
"""The kinds of requests by the name of ``--preset``."""
ROUNDS = 4
"""Requests of a point for each one that is kept running, so that most of the time as many run."""
WARMUPS = 8
"""Most requests before a measurement."""
FEWEST = 8
"""Requests of a point at least."""
RATE_SECONDS = 60
"""Seconds for which requests come at a rate."""


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        index: its number in the run.
        prompt: tokens of each prompt.
        answer: tokens of each answer.
        concurrency: requests that are kept running; with a rate the most that run at once, None without a limit.
        requests: requests in all.
        repeat: how often the same was measured before.
        rate: requests that come per second, at random times; None if each answer is followed by the next request.
        prefix: tokens at the beginning of each prompt that all prompts share.
    """

    index: int
    prompt: int
    answer: int
    concurrency: int | None
    requests: int
    repeat: int = 0
    rate: float | None = None
    prefix: int = 0

    @property
    def warmups(self) -> int:
        """Requests before the measurement, which do not count."""
        return min(self.concurrency or WARMUPS, WARMUPS)

    @property
    def most(self) -> int:
        """Requests that run at once at most."""
        return min(self.concurrency or self.requests, self.requests)

    @property
    def load(self) -> str:
        """How the requests come, in words."""
        if self.rate is None:
            return f"{self.concurrency:,} at once"
        limit = f", {self.concurrency:,} at once at most" if self.concurrency else ""
        return f"{self.rate:g} per second{limit}"

    @property
    def sent(self) -> int:
        """Requests in all: those that count, the warm-up, and one by which the client sees that the server answers."""
        return self.requests + self.warmups + 1


def points(
    preset: Preset,
    prompt: int | None = None,
    answer: int | None = None,
    concurrency: tuple[int, ...] = (),
    requests: int | None = None,
    repeats: int = 1,
    rates: tuple[float, ...] = (),
    prefix: int = 0,
) -> list[Point]:
    """Return the points of a sweep, repeats of all points one after the other.

    Args:
        preset: what is measured.
        prompt: tokens of each prompt instead of the preset's.
        answer: tokens of each answer instead of the preset's.
        concurrency: requests that are kept running instead of the preset's; with rates at most one, the limit.
        requests: requests of each point; by default some for each one that is kept running, or those of a minute.
        repeats: how often each point is measured.
        rates: requests per second, one point each, instead of requests that are kept running.
        prefix: tokens at the beginning of each prompt that all prompts share.
    """
    found: list[Point] = []
    sizes = prompt or preset.prompt, answer or preset.answer
    for repeat in range(repeats):
        for count, rate, total in _loads(preset, concurrency, rates):
            found.append(Point(len(found), *sizes, count, requests or total, repeat, rate, prefix))
    return found


def _loads(
    preset: Preset, concurrency: tuple[int, ...], rates: tuple[float, ...]
) -> Iterator[tuple[int | None, float | None, int]]:
    """Yield for each point the requests at once, the rate, and how many requests it needs."""
    for rate in rates:
        yield concurrency[0] if concurrency else None, rate, max(FEWEST, math.ceil(rate * RATE_SECONDS))
    if not rates:
        for count in concurrency or preset.concurrency:
            yield count, None, max(FEWEST, ROUNDS * count)
