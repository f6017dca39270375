"""What a benchmark asks: presets, and the points of a sweep over concurrency."""

from __future__ import annotations

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
FEWEST = 8
"""Requests of a point at least."""


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        index: its number in the run.
        prompt: tokens of each prompt.
        answer: tokens of each answer.
        concurrency: requests that are kept running.
        requests: requests in all.
        repeat: how often the same was measured before.
    """

    index: int
    prompt: int
    answer: int
    concurrency: int
    requests: int
    repeat: int = 0


def points(
    preset: Preset,
    prompt: int | None = None,
    answer: int | None = None,
    concurrency: tuple[int, ...] = (),
    requests: int | None = None,
    repeats: int = 1,
) -> list[Point]:
    """Return the points of a sweep, repeats of all points one after the other.

    Args:
        preset: what is measured.
        prompt: tokens of each prompt instead of the preset's.
        answer: tokens of each answer instead of the preset's.
        concurrency: requests that are kept running instead of the preset's.
        requests: requests of each point; by default some for each one that is kept running.
        repeats: how often each point is measured.
    """
    found: list[Point] = []
    for repeat in range(repeats):
        for count in concurrency or preset.concurrency:
            total = requests or max(FEWEST, ROUNDS * count)
            index = len(found)
            found.append(Point(index, prompt or preset.prompt, answer or preset.answer, count, total, repeat))
    return found
