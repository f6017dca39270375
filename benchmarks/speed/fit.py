"""Fits the factors of the formula to timed calls, and prints them: ``python -m speed.fit``.

Gauss-Newton on the logarithms of factors and errors, with a weak pull towards the present values, so that a factor that
no call depends on stays as it is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import fields, replace

from speed.calls import Call, calls
from vmn.core.speed.factors import FITTED, Factors

NAMES = tuple(item.name for item in fields(Factors))
PULL = 0.003
"""Weight of a factor's change against the squares of the calls' errors."""
STEP = 0.01
ROUNDS = 6
FAR = 0.15
"""Error from which a call counts with its distance instead of the square, as calls with rare delays exist."""


def fitted(given: Sequence[Call], start: Factors = FITTED, names: Sequence[str] = NAMES) -> Factors:
    """Return the factors that fit some calls best."""
    found = start
    for _ in range(ROUNDS):
        errors = _errors(given, found)
        weights = [min(1.0, FAR / abs(error)) if error else 1.0 for error in errors]
        slopes = [
            [
                (moved - error) / STEP
                for moved, error in zip(_errors(given, _moved(found, name, STEP)), errors, strict=True)
            ]
            for name in names
        ]
        away = [math.log(getattr(found, name) / getattr(FITTED, name)) for name in names]
        matrix = [
            [
                sum(weight * one * other for weight, one, other in zip(weights, first, second, strict=True))
                + (PULL * len(given) ** 0.5 if row == column else 0.0)
                for column, second in enumerate(slopes)
            ]
            for row, first in enumerate(slopes)
        ]
        right = [
            -sum(weight * one * error for weight, one, error in zip(weights, slope, errors, strict=True))
            - PULL * len(given) ** 0.5 * far
            for slope, far in zip(slopes, away, strict=True)
        ]
        for name, change in zip(names, solved(matrix, right), strict=True):
            found = _moved(found, name, max(-0.3, min(0.3, change)))
    return found


def _errors(given: Sequence[Call], factors: Factors) -> list[float]:
    return [math.log1p(call.error(factors)) for call in given]


def _moved(factors: Factors, name: str, change: float) -> Factors:
    return replace(factors, **{name: getattr(factors, name) * math.exp(change)})


def solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Return the solution of a system of equations, by Gauss's elimination with pivots."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for row in range(size):
            if row != column:
                factor = rows[row][column] / rows[column][column]
                rows[row] = [one - factor * other for one, other in zip(rows[row], rows[column], strict=True)]
    return [rows[row][size] / rows[row][row] for row in range(size)]


def left_out(given: Sequence[Call]) -> list[tuple[Call, float]]:
    """Return each call with its error if its own start is left out of the fit."""
    found = []
    for name in dict.fromkeys(call.start.name for call in given):
        factors = fitted([call for call in given if call.start.name != name])
        found += [(call, call.error(factors)) for call in given if call.start.name == name]
    return found


def main() -> None:
    """Print the fitted factors, and how well they fit."""
    given = calls()
    found = fitted(given)
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
