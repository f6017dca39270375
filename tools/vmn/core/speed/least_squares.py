"""Finding the factors of the formula that fit measured times best.

Gauss-Newton on the logarithms of factors and errors, with a weak pull towards the values at the start, so that a factor
on which no time depends stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from vmn.core.speed.factors import Factors

STEP = 0.01
"""Change of a factor's logarithm with which slopes are found."""
ROUNDS = 6
"""At most; most fits need three."""
FAR = 0.15
"""Error from which a time counts with its distance instead of the square, as times with rare delays exist."""
MOST = 0.3
"""The largest change of a factor's logarithm in a round."""
ENOUGH = 1e-3
"""The largest change of a round with which the factors are found: the next one changes a tenth of that."""

Errors = Callable[[Factors], Sequence[float]]
"""Returns the logarithm of predicted over measured time for each measured time."""


def fitted(errors: Errors, start: Factors, names: Sequence[str], pull: float) -> Factors:
    """Return the factors that fit best.

    Args:
        errors: the errors with given factors.
        start: the factors at the start.
        names: the factors that may change.
        pull: weight of the square of a factor's change against the squares of the errors.
    """
    found = start
    for _ in range(ROUNDS):
        now = errors(found)
        weights = [min(1.0, FAR / abs(error)) if error else 1.0 for error in now]
        slopes = [_slope(errors, found, name, now) for name in names]
        away = [math.log(getattr(found, name) / getattr(start, name)) for name in names]
        matrix = [
            [_dot(weights, one, other) + pull * (row == column) for column, other in enumerate(slopes)]
            for row, one in enumerate(slopes)
        ]
        right = [-_dot(weights, slope, now) - pull * far for slope, far in zip(slopes, away, strict=True)]
        changes = [max(-MOST, min(MOST, change)) for change in solved(matrix, right)]
        for name, change in zip(names, changes, strict=True):
            found = _moved(found, name, change)
        if max(map(abs, changes)) < ENOUGH:
            break
    return found


def _slope(errors: Errors, factors: Factors, name: str, now: Sequence[float]) -> list[float]:
    return [(moved - error) / STEP for moved, error in zip(errors(_moved(factors, name, STEP)), now, strict=True)]


def _dot(weights: Sequence[float], one: Sequence[float], other: Sequence[float]) -> float:
    return sum(weight * first * second for weight, first, second in zip(weights, one, other, strict=True))


def _moved(factors: Factors, name: str, change: float) -> Factors:
    return replace(factors, **{name: getattr(factors, name) * math.exp(change)})


def solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Return the solution of a system of equations, by elimination with pivots."""
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
