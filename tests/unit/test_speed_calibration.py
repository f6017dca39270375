"""A machine's own factors from timed calls, and the files that hold them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from speed.calls import calls
from vmn.adapters.timed_calls import TimedCallsError, timed_calls
from vmn.core.speed.calibration import TimedCall, TooFewCalls, calibrated
from vmn.core.speed.factors import FITTED
from vmn.core.speed.workload import Workload

START = next(call.start for call in calls() if call.start.name == "llama8b-tp1")
ROWS = [call for call in calls() if call.start.name == START.name]
SERVED = {
    "completed": 10,
    "total_input_tokens": 5120,
    "total_output_tokens": 640,
    "duration": 4.0,
    "request_rate": "inf",
    "max_concurrency": 2,
}


def made(**factors: float) -> list[TimedCall]:
    """Return the calls of a machine with other factors."""
    found = []
    for call in ROWS:
        makespan = call.predicted(dataclasses.replace(FITTED, **factors)).makespan
        assert makespan
        seconds = makespan.expected
        found.append(TimedCall(call.workload, seconds, call.requests * call.answer / seconds))
    return found


def test_machine_with_a_slower_memory_is_recognized() -> None:
    found = calibrated(START.context, START.prediction, made(bandwidth=0.6, flops=0.5))
    assert found.factors.bandwidth == pytest.approx(0.6, rel=0.05)
    assert found.factors.flops == pytest.approx(0.5, rel=0.05)
    assert max(abs(each.after) for each in found.calls) < 0.03 < 0.2 < max(abs(each.before) for each in found.calls)


def test_machine_like_the_project_s_keeps_its_factors() -> None:
    found = calibrated(START.context, START.prediction, made())
    assert found.factors.bandwidth == pytest.approx(FITTED.bandwidth, rel=0.01)
    assert found.width == 0.05


def test_call_that_is_far_off_shows_when_it_is_left_out() -> None:
    own = made()
    own[3] = dataclasses.replace(own[3], rate=own[3].rate / 3)
    found = calibrated(START.context, START.prediction, own)
    worst = max(found.calls, key=lambda each: abs(each.left_out))
    assert worst.call is own[3]


def test_two_calls_are_too_few() -> None:
    with pytest.raises(TooFewCalls, match="at least 3"):
        calibrated(START.context, START.prediction, made()[:2])


@pytest.mark.parametrize("form", [[[8, 64, 64, 0.5]], {"bench": [[8, 64, 64, 0.5]]}, {"calls": [[8, 64, 64, 0.5]]}])
def test_rows_of_numbers_are_read(tmp_path: Path, form: object) -> None:
    file = tmp_path / "calls.json"
    file.write_text(json.dumps(form))
    assert timed_calls(file) == [TimedCall(Workload(64, 64, requests=8), 0.5, 1024.0)]


@pytest.mark.parametrize(
    ("change", "workload", "seconds"),
    [
        ({}, Workload(512, 64, concurrency=2), None),
        ({"max_concurrency": None}, Workload(512, 64, requests=10), 4.0),
        ({"max_concurrency": 10}, Workload(512, 64, requests=10), 4.0),
        ({"max_concurrency": None, "request_rate": 2.5}, Workload(512, 64, rate=2.5), None),
    ],
)
def test_result_of_vllm_is_read(
    tmp_path: Path, change: dict[str, object], workload: Workload, seconds: float | None
) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps([{**SERVED, **change}]))
    assert timed_calls(file) == [TimedCall(workload, seconds, 160.0)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "3",
        "[[1, 2, 3]]",
        "[[1, 2, 3, 0]]",
        "[[1, 2, 3, -1]]",
        "[[1.5, 2, 3, 1]]",
        "[[0, 2, 3, 1]]",
        "[[1, 2, 3, NaN]]",
        "[[1, 2, 3, Infinity]]",
        '[["1", 2, 3, 1]]',
        json.dumps({**SERVED, "completed": 0}),
        json.dumps({**SERVED, "duration": None}),
    ],
)
def test_file_without_sound_calls_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "calls.json"
    file.write_text(text)
    with pytest.raises(TimedCallsError, match=r"calls\.json has no timed calls"):
        timed_calls(file)
