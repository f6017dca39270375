"""What the doctor says of groups that Kueue will never admit; the objects are those of Kueue 0.17 and 0.19."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.fakecluster import FakeCluster
from unit.doctor_data.world import NOW, Object, World, condition, stamp
from vmn.adapters.cluster import connect
from vmn.app.doctor import diagnose, read_release
from vmn.core.cluster.lws import QUEUE

WORKLOAD = "leaderworkerset-vllm-0-bc0c5"
OUT_OF_SYNC = {
    **{"type": "Finished", "status": "True", "reason": "OutOfSync"},
    "message": "The prebuilt workload is out of sync with its user job",
}


def workload(name: str = WORKLOAD, group: int = 0, owner: str = "vllm", *conditions: Object) -> Object:
    owners = [{"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": owner}]
    notes = {"kueue.x-k8s.io/component-workload-index": str(group)}
    metadata = {"name": name, "ownerReferences": owners, "annotations": notes}
    return {"metadata": metadata, "status": {"conditions": list(conditions)}}


def gated(named_in: str = "labels") -> World:
    """Return a release in a queue whose group 0 is held back.

    Args:
        named_in: where pods have the name of their Workload: labels with Kueue 0.17, annotations since 0.18.
    """
    world = World(groups=2)
    world.objects["leaderworkersets"][0]["metadata"] |= {"labels": {QUEUE: "gpus"}}
    for pod in ("vllm-0", "vllm-0-1"):
        world.pending(pod, "")
        world.pod(pod)["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}]
        world.set_condition(pod, condition("PodScheduled", False, 500, reason="SchedulingGated"))
        if named_in:
            world.pod(pod)["metadata"].setdefault(named_in, {})["kueue.x-k8s.io/pod-group-name"] = WORKLOAD
    world.objects["workloads"] = [workload()]
    return world


def findings(world: World) -> list[str]:
    return [item.id for item in world.say().groups[0].findings]


def test_group_that_waits_for_its_quota_is_held_back() -> None:
    assert findings(gated()) == ["scheduling-gated"]


@pytest.mark.parametrize("named_in", ["labels", "annotations"])
def test_workload_that_was_ended_is_the_verdict_with_the_command_that_helps(named_in: str) -> None:
    world = gated(named_in)
    ended = workload(WORKLOAD, 0, "vllm", OUT_OF_SYNC)
    ended["metadata"]["annotations"] = {}  # only its pods say which group it is of
    world.objects["workloads"] = [ended]
    verdict = world.verdict()
    assert verdict.id == "queue-workload-ended"
    assert f"Workload {WORKLOAD} of the group (OutOfSync)" in verdict.text
    assert f"kubectl delete workloads.kueue.x-k8s.io -n serving {WORKLOAD}" in verdict.fix
    assert "out of sync with its user job" in verdict.evidence[0].line


@pytest.mark.parametrize(
    "other", [workload("w1", 1, "vllm", OUT_OF_SYNC), workload("w2", 0, "other", OUT_OF_SYNC), workload("w3", 0)]
)
def test_other_workloads_are_no_reason(other: Object) -> None:
    world = gated()
    world.objects["workloads"].append(other)
    assert findings(world) == ["scheduling-gated"]


def test_ended_workload_of_a_group_that_runs_is_no_finding() -> None:
    world = gated()
    world.objects["workloads"] = [workload("w1", 1, "vllm", OUT_OF_SYNC)]
    assert world.say().groups[1].findings == []


def renamed(world: World, name: str) -> World:
    """Give the release and its pods another name."""
    for plural in ("leaderworkersets", "statefulsets", "services", "pods"):
        for item in world.objects[plural]:
            item["metadata"]["name"] = item["metadata"]["name"].replace("vllm", name, 1)
            labels = item["metadata"].get("labels", {})
            labels |= {key: name for key, value in labels.items() if value == "vllm"}
    return world


@pytest.mark.parametrize(
    ("length", "named_in", "verdict"),
    [
        (39, "", "scheduling-gated"),
        (40, "", "queue-name-too-long"),
        (45, "", "queue-name-too-long"),
        (45, "labels", "scheduling-gated"),
        (45, "annotations", "scheduling-gated"),
    ],
)
def test_name_that_is_too_long_for_a_label_is_the_verdict(length: int, named_in: str, verdict: str) -> None:
    name = "a" * length
    world = renamed(gated(named_in), name)
    release = world.release()
    said = type(release)(name, release.namespace, release.snapshot, NOW)
    assert diagnose(said).groups[0].findings[0].id == verdict


@pytest.mark.parametrize("queued", [True, False])
def test_workloads_are_read_only_when_the_release_has_a_queue(tmp_path: Path, queued: bool) -> None:
    world = gated()
    if not queued:
        world.objects["leaderworkersets"][0]["metadata"]["labels"] = {}
    world.objects["leases"] = [{**item, "spec": {"renewTime": stamp(-1e9)}} for item in world.objects["leases"]]
    cluster = FakeCluster(world.objects, {})
    with cluster.serving(tmp_path / "config", "serving"):
        client, namespace = connect(str(tmp_path / "config"))
        release = read_release(client, namespace, "vllm")
    assert bool(release.snapshot.all("workloads")) is queued
    assert any("/workloads" in address for address in cluster.asked) is queued
