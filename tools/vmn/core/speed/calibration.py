"""A machine's own factors, from calls that were timed on it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vmn.core.planning.prediction import Prediction
from vmn.core.speed.factors import Factors
from vmn.core.speed.least_squares import fitted
from vmn.core.speed.predict import SpeedContext, speed
from vmn.core.speed.workload import Workload

OWN = {"bandwidth": "share of the memory's bandwidth", "flops": "share of the FLOP/s", "call": "seconds of a call"}
"""The factors of a machine; kernels' fixed times and the rest stay as measured on H200."""
PULL = 0.02
"""Weight of a factor's change: ten calls with errors of 5 % move a factor freely."""
FEWEST = 3
"""Calls with which factors can be told apart."""
NARROWEST = 0.05
"""Half of the narrowest band of a calibrated machine."""


@dataclass(frozen=True)
class TimedCall:
    """A measured workload.

    Attributes:
        workload: what was asked.
        seconds: until the last answer, for requests that came at once; otherwise None.
        rate: tokens of answers per second.
    """

    workload: Workload
    seconds: float | None
    rate: float


@dataclass(frozen=True)
class CalledAgain:
    """A timed call beside its predictions.

    Attributes:
        call: the call.
        before: relative error of the predicted tokens per second with the factors of the project.
        after: the same with the machine's own.
        left_out: the same with factors that were fitted without this call.
    """

    call: TimedCall
    before: float
    after: float
    left_out: float


@dataclass(frozen=True)
class SpeedCalibration:
    """What timed calls say about a machine.

    Attributes:
        factors: the machine's own factors.
        calls: the calls beside their predictions.
        width: half of the band's width that follows from the errors.
    """

    factors: Factors
    calls: Sequence[CalledAgain]
    width: float


class TooFewCalls(Exception):  # noqa: N818 - reads as what happened
    """There are too few calls to tell the factors apart."""


def calibrated(context: SpeedContext, prediction: Prediction, calls: Sequence[TimedCall]) -> SpeedCalibration:
    """Return a machine's own factors.

    Args:
        context: the model and GPU of the calls.
        prediction: the layout of the calls.
        calls: the calls.

    Raises:
        TooFewCalls: there are too few.
    """
    if len(calls) < FEWEST:
        raise TooFewCalls(f"A calibration needs at least {FEWEST} timed calls, and ten are better (got {len(calls)}).")

    def errors(factors: Factors, given: Sequence[TimedCall]) -> list[float]:
        own = replace(context, factors=factors)
        return [math.log(call.rate / speed(own, prediction, call.workload).rate.expected) for call in given]

    def fit(given: Sequence[TimedCall]) -> Factors:
        return fitted(lambda factors: errors(factors, given), context.factors, tuple(OWN), PULL)

    found = fit(calls)
    left_out = [errors(fit([other for other in calls if other is not call]), [call])[0] for call in calls]
    rows = zip(calls, errors(context.factors, calls), errors(found, calls), left_out, strict=True)
    shown = [CalledAgain(call, *(math.exp(-error) - 1 for error in three)) for call, *three in rows]
    return SpeedCalibration(found, shown, max(NARROWEST, 2 * statistics.median(map(abs, left_out))))
