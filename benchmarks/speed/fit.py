"""Fits the factors of the formula to all timed calls, and prints them: ``python -m speed.fit``."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import fields

from speed.calls import Call, calls
from vmn.core.speed.factors import FITTED, Factors
from vmn.core.speed.least_squares import fitted

NAMES = tuple(item.name for item in fields(Factors))
PULL = 0.02
"""Weight of a factor's change for each square root of the number of calls."""


def fit(given: Sequence[Call], names: Sequence[str] = NAMES) -> Factors:
    """Return the factors that fit some calls best."""

    def errors(factors: Factors) -> list[float]:
        return [math.log1p(call.error(factors)) for call in given]

    return fitted(errors, FITTED, names, PULL * len(given) ** 0.5)


def left_out(given: Sequence[Call]) -> list[tuple[Call, float]]:
    """Return each call with its error if its own start is left out of the fit."""
    found = []
    for name in dict.fromkeys(call.start.name for call in given):
        factors = fit([call for call in given if call.start.name != name])
        found += [(call, call.error(factors)) for call in given if call.start.name == name]
    return found


def main() -> None:
    """Print the fitted factors, and how well they fit."""
    given = calls()
    found = fit(given)
    for name in NAMES:
        print(f"    {name}: float = {getattr(found, name):.3g}  # was {getattr(FITTED, name):.3g}")
    for title, errors in (
        ("as they are", [call.error() for call in given]),
        ("fitted", [call.error(found) for call in given]),
        ("own start left out", [error for _, error in left_out(given)]),
    ):
        sizes = [abs(error) for error in errors]
        print(f"{title}: median {statistics.median(sizes):.1%}, worst {max(sizes):.1%}")
    for call in given:
        shape = f"{call.requests} x {call.prompt} + {call.answer}"
        print(f"{call.start.name:20} {shape:20} {call.seconds:8.4f} {call.error():+7.1%} {call.error(found):+7.1%}")


if __name__ == "__main__":
    main()
