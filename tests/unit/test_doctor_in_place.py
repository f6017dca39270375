"""What the doctor says of engines that restarted in their pods, by the lines that the chart's pods logged in a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpu.twopods.verdicts import verdict
from unit.doctor_data.world import UP, World
from vmn.core.doctor.finding import GroupHealth, Severity

KILLED = (
    "vllm-multinode: vllm serve ended with exit status 137 after 64 s (served: yes)",
    "vllm-multinode: restarts in place: rank 0, vllm-0: vllm serve ended with exit status 137 after 64 s (served: yes)",
)
FULL = (
    "(Worker_PP0 pid=81) ERROR 11-26 10:50:40 [multiproc_executor.py:1] torch.OutOfMemoryError: CUDA out of memory. "
    "Tried to allocate 1 GiB.",
    "vllm-multinode: restarts in place: rank 1, vllm-0-1: vllm serve ended with exit status 1 after 64 s (served: yes)",
)
STARTS = "vllm-multinode: starts run 1 in place"
SERVES = (
    "vllm-multinode: restarted in place within 14 s, once in the last 3600 s, at most 3: rank 0, vllm-0: vllm serve "
    "ended with exit status 137 after 64 s (served: yes)"
)


def told(world: World) -> list[tuple[str, Severity, str]]:
    found = world.say()
    assert found.state is GroupHealth.SERVING
    return [(item.id, item.severity, item.text) for item in found.findings]


@pytest.mark.parametrize(("count", "often"), [(1, "once"), (2, "2 times")])
def test_group_that_has_restarted_in_place_serves_and_says_how_often_and_why(count: int, often: str) -> None:
    world = World()
    world.log("vllm-0", *UP, *(*KILLED, STARTS, *UP, SERVES) * count, start=590)
    world.log("vllm-0-1", *UP[:6], *KILLED[1:], STARTS, *UP[:6], SERVES)
    ((name, severity, text),) = told(world)
    assert (name, severity) == ("restarted-in-place", Severity.NOTE)
    assert f"group 0 restarted in place {often} in the last hour, most recently at 1" in text
    assert text.endswith(": rank 0, vllm-0: vllm serve ended with exit status 137 after 64 s (served: yes)")


def test_restarts_before_the_last_hour_do_not_count() -> None:
    world = World()
    world.log("vllm-0", *UP, *KILLED, STARTS, *UP, SERVES, start=3700)
    assert told(world) == []


def test_errors_of_the_run_before_explain_nothing_about_the_next_one() -> None:
    world = World()
    world.log("vllm-0", *UP, *FULL, STARTS, *UP[:5], start=60)
    world.down("vllm-0")
    found = world.say()
    assert found.state is GroupHealth.STARTING
    assert [item for item in found.findings if item.severity is not Severity.NOTE] == []


@pytest.mark.parametrize("lines", [(STARTS, SERVES), KILLED[1:]], ids=["serves again", "stops"])
def test_what_a_pod_quotes_of_another_one_is_no_failure_of_its_own(lines: tuple[str, ...]) -> None:
    world = World()
    world.log("vllm-0-1", *UP[:6], *lines, start=60)
    world.down("vllm-0-1")
    found = world.say()
    assert [item.id for item in found.findings if item.severity is not Severity.NOTE] == []


def test_errors_explain_a_run_that_does_not_start_again() -> None:
    world = World()
    world.log("vllm-0", *UP, *FULL, start=60)
    world.down("vllm-0")
    assert world.verdict().id == "cuda-out-of-memory"


def test_recorded_group_whose_engine_core_was_killed_serves_and_names_it() -> None:
    """VLLM's CPU build in two pods; of the logs, lines of PID 1, the first error, and the ends of both starts."""
    file = Path(__file__).with_name("doctor_data") / "recorded_serving" / "killed-engine-core-in-place.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    found = verdict(content)
    assert found.state is GroupHealth.SERVING, content["says"]
    note = next(item for item in found.findings if item.id == content["verdict"])
    assert (note.pod, note.severity) == (content["pod"], Severity.NOTE)
    assert "restarted in place once in the last hour, most recently at 12:47:27: rank 0, vllm-0: " in note.text
    assert "EngineDeadError" in note.text
