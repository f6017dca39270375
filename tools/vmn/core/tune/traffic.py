"""Requests of others that a release serves, from the counters of its API servers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Traffic:
    """What the API servers of a release counted at one time.

    Attributes:
        running: requests that run.
        waiting: requests that wait.
        ended: requests that ended since the servers started, without those of the chart itself.
    """

    running: float
    waiting: float
    ended: float


def serves_others(before: Traffic, after: Traffic, seconds: float) -> str:
    """Return what others ask of a release, empty if nothing was seen.

    Args:
        before: the counters at first.
        after: the counters later, when a request of the chart itself has ended.
        seconds: time between both.
    """
    ended = max(0.0, after.ended - before.ended)
    parts = [f"{after.running:.0f} requests run"] if after.running else []
    parts += [f"{after.waiting:.0f} wait"] if after.waiting else []
    parts += [f"{ended:.0f} ended within {seconds:.0f} s"] if ended else []
    return ", ".join(parts)
