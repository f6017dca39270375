"""The predicted seconds of calls that were timed on real GPUs. ``pytest -s`` prints each error."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import combinations

import pytest

from speed.calls import Call, calls
from speed.fit import fit, left_out

CALLS = calls()
ON_ONE_NODE = [call for call in CALLS if call.start.context.plan.cluster.nodes == 1]
SERVED = [call for call in CALLS if call not in ON_ONE_NODE]
IN_GRAPHS = [call for call in ON_ONE_NODE if not call.start.context.plan.batch.eager]
FASTER = 1.10
"""From this ratio on, two layouts differ so much that their order must be right."""


def sizes(given: Sequence[Call]) -> list[float]:
    found = []
    for call in given:
        error = call.error()
        print(f"{call.start.name}: {call.requests} x {call.prompt} + {call.answer}: {error:+.1%}")
        found.append(abs(error))
    return found


@pytest.mark.parametrize("name", sorted({call.start.name for call in IN_GRAPHS}))
def test_speed_of_a_start_is_met(name: str) -> None:
    errors = sizes([call for call in IN_GRAPHS if call.start.name == name])
    assert statistics.median(errors) <= 0.06
    assert max(errors) <= 0.25


def test_fit_and_plan_predict_the_same_seconds() -> None:
    for call in {call.start.name: call for call in CALLS}.values():
        makespan = call.predicted().makespan
        assert makespan
        assert (1 + call.error()) * call.seconds == pytest.approx(makespan.expected)


def test_speed_of_two_pods_over_tcp_is_met() -> None:
    errors = sizes(SERVED)
    assert statistics.median(errors) <= 0.15
    assert max(errors) <= 0.30


def test_bands_hold_nine_of_ten_calls_and_are_narrow() -> None:
    widths = [call.predicted().makespan for call in ON_ONE_NODE]
    assert sum(call.is_inside for call in ON_ONE_NODE) >= 0.9 * len(ON_ONE_NODE)
    assert statistics.median(band.high / band.expected - 1 for band in widths if band) <= 0.15


def test_bands_would_not_hold_calls_of_a_slower_machine() -> None:
    slower = [Call(call.start, call.requests, call.prompt, call.answer, call.seconds * 1.5) for call in ON_ONE_NODE]
    assert sum(call.is_inside for call in slower) <= 0.2 * len(slower)


def test_order_of_starts_is_right_when_they_differ() -> None:
    pairs = right = 0
    for one, other in combinations(IN_GRAPHS, 2):
        same = (one.requests, one.prompt, one.answer) == (other.requests, other.prompt, other.answer)
        ratio = one.seconds / other.seconds
        if same and one.start.name != other.start.name and max(ratio, 1 / ratio) >= FASTER:
            pairs += 1
            right += (
                (one.error() + 1) * one.seconds < (other.error() + 1) * other.seconds
                if ratio < 1
                else (one.error() + 1) * one.seconds > (other.error() + 1) * other.seconds
            )
    assert pairs >= 5
    assert right >= 0.95 * pairs


@pytest.mark.slow
def test_calls_of_a_start_that_is_left_out_of_the_fit_are_met() -> None:
    errors = [abs(error) for call, error in left_out(IN_GRAPHS) if call in IN_GRAPHS]
    assert statistics.median(errors) <= 0.08


def test_fit_finds_the_factors_that_made_the_times() -> None:
    from dataclasses import replace

    from vmn.core.speed.factors import FITTED

    true = replace(FITTED, bandwidth=0.7, call=8e-3)
    made = []
    for call in IN_GRAPHS:
        makespan = call.predicted(true).makespan
        assert makespan
        made.append(Call(call.start, call.requests, call.prompt, call.answer, makespan.expected))
    found = fit(made, names=("bandwidth", "call"))
    assert found.bandwidth == pytest.approx(0.7, rel=0.03)
    assert found.call == pytest.approx(8e-3, rel=0.2)
