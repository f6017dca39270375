"""What the doctor says of pods that are not ready any more, and of disks that are full."""

from __future__ import annotations

import pytest

from unit.doctor_data.world import UP, World, condition, stamp
from vmn.core.cluster.release import Pulse
from vmn.core.doctor.finding import GroupHealth, Severity

FULL = (
    "(Worker_TP0 pid=81) WARNING 11-26 10:51:01 [caching.py:210] could not save the graph: [Errno 28] No space "
    "left on device: '/cache/v0.32.0/vllm/torch_compile_cache/1f'"
)
STALL = "vllm-multinode: requests run, and the engine has done no step for 181 s"


def started(world: World, pod: str, running: float, unready: float) -> None:
    """Let a pod's container have started some seconds ago, and be not ready since some seconds."""
    world.main(pod).update(started=True, state={"running": {"startedAt": stamp(running)}})
    world.set_condition(pod, condition("Ready", False, unready))


def test_pod_that_was_ready_is_not_called_starting() -> None:
    world = World()
    started(world, "vllm-0", running=590, unready=200)
    found = world.say()
    assert found.state is GroupHealth.FAILED
    assert found.findings[0].id == "started-not-ready"
    assert "is not ready since 10:56:40 (200 s)" in found.findings[0].text
    assert 'its newest line, 580 s ago: "(APIServer pid=1) INFO:     10.0.0.1:39544' in found.findings[0].text


def test_container_that_has_just_started_gets_the_time_of_a_probe() -> None:
    world = World()
    started(world, "vllm-0", running=10, unready=590)
    found = world.say()
    assert found.state is GroupHealth.STARTING
    assert [item for item in found.findings if item.severity is not Severity.NOTE] == []
    assert "has started, but is not ready: vllm-0 since 10:59:50" in found.groups[0].line
    assert "starting" not in found.groups[0].line


def test_pod_that_is_not_ready_is_a_symptom_when_another_one_failed() -> None:
    world = World()
    started(world, "vllm-0", running=590, unready=40)
    world.state("vllm-0-1", "terminated", reason="OOMKilled", exitCode=137, finishedAt=stamp(50))
    found = [(item.id, item.severity) for item in world.say().findings]
    assert found[0] == ("out-of-memory", Severity.CAUSE)
    assert ("started-not-ready", Severity.SYMPTOM) in found


def test_full_disk_of_the_cache_is_a_note_while_the_group_serves() -> None:
    world = World()
    world.log("vllm-0", FULL, *UP)
    found = world.say()
    assert found.state is GroupHealth.SERVING
    assert [(item.id, item.severity) for item in found.findings] == [("cache-disk-full", Severity.NOTE)]
    assert "compiles its kernels again" in found.findings[0].text


def test_full_disk_is_the_cause_when_it_ends_the_start() -> None:
    world = World()
    end = "vllm-multinode: vllm serve ended with exit status 1 after 12 s (served: no); the container ends in 30 s"
    world.down("vllm-0")
    world.log("vllm-0", UP[0], "OSError: [Errno 28] No space left on device: '/cache/v0.32.0/inductor'", end)
    assert world.verdict().id == "disk-full"


@pytest.mark.parametrize("silent", [True, False])
def test_server_that_does_not_answer_is_named_as_soon_as_its_pod_is_not_ready(silent: bool) -> None:
    world = World()
    started(world, "vllm-0", running=590, unready=12)
    world.silent = {"vllm-0"} if silent else set()
    found = world.say()
    assert found.state is (GroupHealth.FAILED if silent else GroupHealth.STARTING)
    causes = [(item.id, item.pod) for item in found.findings if item.severity is Severity.CAUSE]
    assert causes == ([("server-hangs", "vllm-0")] if silent else [])


def test_worker_whose_server_does_not_answer_or_whose_requests_hang_is_named() -> None:
    world = World()
    started(world, "vllm-0-1", running=590, unready=12)
    world.pod("vllm-0-1")["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 8080}]
    world.silent = {"vllm-0-1"}
    world.pulses = {"vllm-0": Pulse(2.0, 40.0, 10.0), "vllm-0-1": Pulse(3.0, 0.0, 10.0)}
    found = {(item.id, item.pod) for item in world.say().findings}
    assert found >= {("server-hangs", "vllm-0-1"), ("requests-hang", "vllm-0-1")}
    assert ("silent", "vllm-0-1") not in found, "the group has served"


WORKS = "vllm-multinode: the engine works again"
STALLS = f"{STALL}: this leader exits after 360 s (probes.stalledSeconds)"


@pytest.mark.parametrize(
    ("since", "verdicts"), [([], ["requests-hang"]), ([WORKS], []), ([WORKS, STALLS], ["requests-hang"])]
)
def test_engine_that_does_no_step_is_named_until_it_works_again(since: list[str], verdicts: list[str]) -> None:
    world = World()
    world.log("vllm-0", *UP, STALLS, *since)
    assert [item.id for item in world.say().findings] == verdicts


WAITS = "vllm-multinode: waiting for /models/r1: the download's Job fills it:"
GATED = f"{WAITS} failed: org/model is gated. Accept its terms at https://huggingface.co/org/model"
GOES_ON = f"{WAITS} downloading: 3 of 163 files checked, 9.1 GiB of 641.3 GiB there, 0.5 GiB/s, 21 min left"


@pytest.mark.parametrize(
    ("lines", "gated"),
    [([GATED], True), ([GATED, GOES_ON], False), ([GATED, GOES_ON, GATED], True), ([GOES_ON], False)],
    ids=["failed", "goes on since", "failed again", "goes on"],
)
def test_failed_download_of_a_job_is_named_until_it_goes_on(lines: list[str], gated: bool) -> None:
    world = World()
    for pod in ("vllm-0", "vllm-0-1"):
        started(world, pod, running=100, unready=100)
        world.log(pod, *lines)
    causes = {item.id for item in world.say().findings if item.severity is Severity.CAUSE}
    assert ("download-gated" in causes) == gated


def test_engine_that_was_ended_is_no_fault_of_the_group_that_serves_again() -> None:
    world = World()
    ended = "vllm serve ended with exit status 137 after 812 s (served: yes); error: requests run, and the engine"
    reason = f"{ended} has done no step for 361 s: it hangs"
    kept = "/cache/failures/vllm-0.vllm.serving.rank-0.20261126T104500.000Z.log"
    world.log("vllm-0", f"vllm-multinode: an earlier failure: {reason}; its log is in {kept}", *UP)
    found = world.say()
    assert found.state is GroupHealth.SERVING
    assert [item.id for item in found.findings] == ["earlier-failure"]
