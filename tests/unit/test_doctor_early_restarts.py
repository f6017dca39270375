"""What the doctor says of a container that failed once and for which LeaderWorkerSet recreates a healthy group."""

from __future__ import annotations

import pytest

from unit.doctor_data.world import UP, World, condition, stamp
from vmn.core.doctor.finding import GroupHealth, Severity

PREPARE = "spec.initContainers{prepare}"


def started(world: World, uid: str, field: str = PREPARE, *, count: int = 2, ago: float = 100) -> None:
    """Add the kubelet's event that a container of a former worker was started, as Kubernetes 1.36 writes it."""
    world.event("Pod", "vllm-0-1", "Started", "Container started", ago=ago, last=ago, count=count, uid=uid)
    world.objects["events"][-1]["involvedObject"]["fieldPath"] = field


def recreated(world: World, ago: float) -> None:
    message = "Worker pod vllm-0-1 failed, deleted leader pod vllm-0 to recreate group 0"
    world.event("LeaderWorkerSet", "vllm", "RecreateGroup", message, ago=ago, last=ago)


def restarting(world: World) -> None:
    """Let the init container of the worker have failed once, while the leader has no node yet."""
    world.pod("vllm-0")["status"] = {"phase": "Pending", "conditions": [condition("PodScheduled", True)]}
    world.log("vllm-0", *UP[:3])
    world.pod("vllm-0-1")["status"]["initContainerStatuses"] = [
        {"name": "prepare", "restartCount": 1, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    ]
    world.down("vllm-0-1")


def test_restart_before_all_pods_run_is_noted() -> None:
    world = World()
    restarting(world)
    said = world.say()
    assert said.state is GroupHealth.STARTING
    (found,) = [item for item in said.findings if item.id == "restarted-before-start"]
    assert (found.severity, found.pod) == (Severity.NOTE, "vllm-0-1")
    assert "container prepare has restarted" in found.text
    assert "kubectl logs -n serving vllm-0-1 -c prepare --previous" in found.fix


def test_init_container_that_is_done_is_no_failure() -> None:
    world = World()
    restarting(world)
    world.pod("vllm-0-1")["status"]["initContainerStatuses"][0]["restartCount"] = 0
    said = world.say()
    assert said.state is GroupHealth.STARTING
    assert {item.severity for item in said.findings} <= {Severity.NOTE}
    assert "restarted-before-start" not in {item.id for item in said.findings}


def test_restart_of_a_group_that_is_complete_is_another_matter() -> None:
    world = World()
    world.main("vllm-0-1").update(restartCount=1, state={"running": {"startedAt": stamp(100)}})
    world.down("vllm-0-1")
    assert world.verdict().id == "not-recreated"
    assert "restarted-before-start" not in {item.id for item in world.say().findings}


@pytest.mark.parametrize(
    ("recreations", "serving", "wanted", "severity"),
    [
        ((90, 30), False, "recreated-after-restart", Severity.CAUSE),
        ((30,), False, "recreated-once-after-restart", Severity.NOTE),
        ((90, 30), True, "recreated-once-after-restart", Severity.NOTE),
    ],
)
def test_recreation_for_an_early_restart_is_named(
    recreations: tuple[float, ...], serving: bool, wanted: str, severity: Severity
) -> None:
    world = World()
    for index, ago in enumerate(recreations):
        started(world, f"uid-{index}", ago=ago + 10)
        recreated(world, ago)
    if not serving:
        world.down("vllm-0")
    found = {item.id: item for item in world.say().findings}
    assert found[wanted].severity is severity
    assert "container prepare had restarted before all pods ran" in found[wanted].text


@pytest.mark.parametrize(
    ("field", "count", "uid"),
    [
        (PREPARE, 1, "uid-before"),
        ("spec.containers{vllm-worker}", 2, "uid-before"),
        (PREPARE, 2, "uid-vllm-0-1"),
        ("", 2, "uid-before"),
    ],
    ids=["started once", "vLLM itself", "pod that exists", "no container"],
)
def test_recreation_for_another_reason_is_not_blamed_on_it(field: str, count: int, uid: str) -> None:
    world = World()
    started(world, uid, field, count=count)
    recreated(world, 90)
    world.down("vllm-0")
    assert "recreated-once-after-restart" not in {item.id for item in world.say().findings}
