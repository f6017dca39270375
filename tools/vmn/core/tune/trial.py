"""What came of the settings that were tried, compared with what runs now, and which one to keep."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vmn.core.bench.compare import noise
from vmn.core.bench.results import Measured
from vmn.core.tune.setting import TunedSetting

WORTH = 0.03
"""Gain from which a setting is worth keeping, even if repeats differ less."""


class Outcome(StrEnum):
    """How a trial ended."""

    MEASURED = "measured"
    REFUSED = "refused"
    NOT_STARTED = "did not start"
    FAILED = "failed under load"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class Trial:
    """A setting, and what came of it.

    Attributes:
        setting: what was tried.
        outcome: how it ended.
        why: what went wrong, empty if nothing did.
        measured: its measurements.
        start_seconds: how long the groups took to serve, None if they did not.
    """

    setting: TunedSetting
    outcome: Outcome
    why: str = ""
    measured: Sequence[Measured] = ()
    start_seconds: float | None = None

    @property
    def failed_requests(self) -> int:
        """Requests that failed while it was measured."""
        return sum(int(each.result.get("failed") or 0) for each in self.measured)

    @property
    def others(self) -> int:
        """Requests of others that ended while it was measured."""
        return round(sum(each.others for each in self.measured))

    def mean(self, metric: str) -> float:
        """Return the mean of a metric of ``vllm bench serve`` over the repeats."""
        return sum(float(each.result[metric]) for each in self.measured) / len(self.measured)


@dataclass(frozen=True)
class Verdict:
    """A setting compared with what runs now.

    Attributes:
        ratio: how many times as good, above 1 is better.
        noise: difference from 1 up to which both may be the same.
        repeats: the smaller number of repeats.
    """

    ratio: float
    noise: float
    repeats: int

    @property
    def is_real(self) -> bool:
        """Whether the difference is larger than the noise."""
        return abs(self.ratio - 1) > self.noise

    @property
    def words(self) -> str:
        """The verdict in a word or two."""
        if not self.is_real:
            return "within noise"
        return "better" if self.ratio > 1 else "worse"


@dataclass(frozen=True)
class TuneResult:
    """All trials of a run.

    Attributes:
        goal: what the release was tuned for.
        now: what runs now, measured before the trials; not tried if that failed.
        again: the same measured after it was put back, None if that did not happen.
        trials: the trials, in the order in which they ran.
        put_back: whether the release serves as it was found.
        problem: why the run ended early, or why the release is not as it was found; empty if all went well.
    """

    goal: str
    now: Trial
    again: Trial | None = None
    trials: Sequence[Trial] = field(default=())
    put_back: bool = True
    problem: str = ""

    @property
    def baseline(self) -> Sequence[Measured]:
        """All measurements of what runs now, before and after: two starts show how much starts differ."""
        again = self.again.measured if self.again and self.again.outcome is Outcome.MEASURED else ()
        return [*self.now.measured, *again]

    @property
    def drift(self) -> Verdict | None:
        """What runs now compared with itself after it was put back, None unless both were measured."""
        if not self.again or not self.again.measured or not self.now.measured:
            return None
        return compared(self.now.measured, self.again.measured, self.goal)

    def verdict(self, trial: Trial) -> Verdict | None:
        """Return a trial compared with what runs now, None unless both were measured."""
        if trial.outcome is not Outcome.MEASURED or not self.baseline:
            return None
        return compared(self.baseline, trial.measured, self.goal)

    @property
    def best(self) -> Trial | None:
        """The trial to keep, None if what runs now is as good: better beyond noise, without failed requests."""
        better = [
            (verdict.ratio, trial) for trial in self.trials if (verdict := self.verdict(trial)) and _is_worth(verdict)
        ]
        sound = [pair for pair in better if not pair[1].failed_requests]
        return max(sound, key=lambda pair: pair[0])[1] if sound else None


def _is_worth(verdict: Verdict) -> bool:
    return verdict.is_real and verdict.ratio >= 1 + WORTH


def compared(one: Sequence[Measured], other: Sequence[Measured], goal: str) -> Verdict:
    """Return how good one series of measurements is beside another, by tokens per second or by time per answer."""
    before, after = ([_goodness(each, goal) for each in series] for series in (one, other))
    ratio = statistics.fmean(after) / statistics.fmean(before)
    return Verdict(ratio, noise(before, after), min(len(before), len(after)))


def _goodness(each: Measured, goal: str) -> float:
    return each.rate if goal == "throughput" else 1 / (each.first + each.each * (each.point.answer - 1))


def results_of(trial: Trial) -> list[Mapping[str, Any]]:
    """Return what ``vllm bench serve`` saved in each repeat."""
    return [each.result for each in trial.measured]
