"""Whole clusters: what only a node, a group, or the cluster shows leads to its verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from unit.doctor_data.failures import (
    HANDSHAKE,
    KILLED,
    controller_down,
    node_lost,
    node_lost_and_group_stuck,
    ready,
)
from unit.doctor_data.world import UP, World, condition, stamp
from vmn.core.cluster.lws import REVISION
from vmn.core.cluster.release import Pulse
from vmn.core.doctor.finding import GroupHealth, Severity

Change = Callable[[World], None]


def node_silent(world: World) -> None:
    world.objects["leases"][1]["spec"]["renewTime"] = stamp(35)


def node_gone(world: World) -> None:
    world.objects["nodes"].pop()
    world.down("vllm-0-1")


def node_not_ready(world: World) -> None:
    ready(world, 1, "False", reason="KubeletNotReady", message="container runtime network not ready")
    world.down("vllm-0-1")


def node_unread(world: World) -> None:
    world.unread = {"vllm-0-1": "no answer from its node in 6 s"}
    world.down("vllm-0-1")
    world.log("vllm-0", UP[0])


def stuck_terminating(world: World) -> None:
    world.pod("vllm-0")["metadata"].update(deletionTimestamp=stamp(200), deletionGracePeriodSeconds=95)


def controller_away_while_a_pod_dies(world: World) -> None:
    controller_down(world)
    world.main("vllm-0").update(restartCount=1, state={"running": {"startedAt": stamp(100)}})
    world.state("vllm-0", "terminated", last=True, reason="Error", exitCode=137, finishedAt=stamp(101))
    world.log("vllm-0", KILLED, start=101, previous=True)
    world.log("vllm-0", HANDSHAKE, start=99)
    world.down("vllm-0")


def webhook_away_while_a_pod_is_deleted(world: World) -> None:
    controller_down(world)
    world.remove("vllm-0-1")
    message = (
        "create Pod vllm-0-1 in StatefulSet vllm-0 failed error: Internal error occurred: failed calling webhook "
        '"mpod.kb.io": failed to call webhook: Post "https://lws-webhook-service.lws-system.svc:443/mutate--v1-pod": '
        'no endpoints available for service "lws-webhook-service"'
    )
    world.event("StatefulSet", "vllm-0", "FailedCreate", message)


def workers_not_made(world: World) -> None:
    world.remove("vllm-0-1")
    world.objects["statefulsets"].pop()


def not_recreated(world: World) -> None:
    world.main("vllm-0").update(restartCount=1, state={"running": {"startedAt": stamp(100)}})
    world.log("vllm-0", HANDSHAKE, start=99)
    world.down("vllm-0")


def leader_ready_policy(world: World) -> None:
    world.remove("vllm-0-1")
    world.objects["leaderworkersets"][0]["spec"]["startupPolicy"] = "LeaderReady"
    world.down("vllm-0")


def dns_down(world: World) -> None:
    world.objects["endpointslices"][0]["endpoints"] = [{"conditions": {"ready": False}}]
    for name in ("vllm-0", "vllm-0-1"):
        world.down(name)
    world.log("vllm-0", HANDSHAKE)
    world.logs = [log for log in world.logs if log.pod != "vllm-0-1"]
    said = "Startup probe failed: the leader's name vllm-0.vllm.serving does not resolve"
    world.event("Pod", "vllm-0-1", "Unhealthy", said)


def not_headless(world: World) -> None:
    world.objects["services"][0]["spec"]["clusterIP"] = "10.96.3.4"
    world.down("vllm-0")


def no_headless(world: World) -> None:
    world.objects["services"].clear()
    world.down("vllm-0-1")
    world.log("vllm-0", HANDSHAKE)


def crd_gone(world: World) -> None:
    for plural in ("customresourcedefinitions", "pods", "statefulsets"):
        world.objects[plural].clear()
    world.objects.pop("leaderworkersets")


def lws_gone(world: World) -> None:
    for plural in ("leaderworkersets", "pods", "statefulsets"):
        world.objects[plural].clear()


def scaled_to_nothing(world: World) -> None:
    world.objects["leaderworkersets"][0]["spec"]["replicas"] = 0
    world.objects["pods"].clear()


def loop(world: World) -> None:
    world.recreated("vllm-0-1", ago=200, count=8)
    for name in ("vllm-0", "vllm-0-1"):
        world.log(name, HANDSHAKE, start=4)
        world.down(name)


def frozen(world: World) -> None:
    world.log("vllm-0", *UP[:4], start=500)
    world.log("vllm-0-1", *UP[:3], start=560)
    world.down("vllm-0")


def hang(world: World) -> None:
    world.pulses = {"vllm-0": Pulse(2.0, 0.0, 10.0)}


def init_container(world: World) -> None:
    ended = {"terminated": {"reason": "Error", "exitCode": 2, "finishedAt": stamp(20)}}
    world.pod("vllm-0")["status"]["initContainerStatuses"] = [{"name": "prepare", "state": ended}]
    world.pod("vllm-0")["status"]["containerStatuses"] = []
    world.down("vllm-0")


def mesh(world: World) -> None:
    world.pod("vllm-0")["spec"]["containers"].append({"name": "istio-proxy"})
    world.log("vllm-0", HANDSHAKE)
    world.down("vllm-0")


def old_kubernetes(world: World) -> None:
    world.version = (1, 26)
    world.down("vllm-0")


def mixed(world: World) -> None:
    for name, revision in (("vllm-0", "b2"), ("vllm-0-1", "a1")):
        world.pod(name)["metadata"]["labels"][REVISION] = revision
        world.log(name, HANDSHAKE)
    world.down("vllm-0")


def placed_in_part(world: World) -> None:
    for name in ("vllm-0-1", "vllm-1-1"):
        world.pending(name, "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.")
    for name in ("vllm-0", "vllm-1"):
        world.log(name, HANDSHAKE)
        world.down(name)


def all_pods_away(world: World) -> None:
    world.remove("vllm-0", "vllm-0-1")


SCENARIOS: Mapping[str, tuple[Change, str, str | None]] = {
    # name: (what is wrong, the verdict, the pod that it names)
    "node lost": (node_lost, "node-lost", "vllm-0-1"),
    "node lost, group stuck": (node_lost_and_group_stuck, "node-lost", "vllm-0-1"),
    "node silent for 32 s, all pods still ready": (node_silent, "node-lost", "vllm-0-1"),
    "node deleted": (node_gone, "node-lost", "vllm-0-1"),
    "node not ready": (node_not_ready, "node-not-ready", "vllm-0-1"),
    "kubelet does not answer": (node_unread, "node-unread", "vllm-0-1"),
    "pod does not end": (stuck_terminating, "stuck-terminating", "vllm-0"),
    "controller away, leader killed": (controller_away_while_a_pod_dies, "lws-controller-away", "vllm-0"),
    "controller away, worker deleted": (webhook_away_while_a_pod_is_deleted, "lws-webhook-down", "vllm-0-1"),
    "no worker StatefulSet": (workers_not_made, "workers-not-made", "vllm-0-1"),
    "restarted in place": (not_recreated, "not-recreated", "vllm-0"),
    "LeaderReady": (leader_ready_policy, "leader-ready-policy", "vllm-0"),
    "DNS down": (dns_down, "dns-down", None),
    "Service with a cluster IP": (not_headless, "service-not-headless", None),
    "no headless Service": (no_headless, "headless-missing", None),
    "CRD deleted": (crd_gone, "lws-crd-missing", None),
    "LeaderWorkerSet deleted": (lws_gone, "lws-gone", None),
    "scaled to 0": (scaled_to_nothing, "no-replicas", None),
    "comes and goes": (loop, "recreate-loop", None),
    "stopped while starting": (frozen, "silent", "vllm-0-1"),
    "stopped while serving": (hang, "requests-hang", "vllm-0"),
    "init container": (init_container, "init-container-failed", "vllm-0"),
    "mesh": (mesh, "mesh-sidecar", "vllm-0"),
    "Kubernetes 1.26": (old_kubernetes, "kubernetes-too-old", None),
    "mixed revisions": (mixed, "mixed-revisions", None),
    "no pods": (all_pods_away, "pods-not-made", None),
}
VERDICTS = frozenset(verdict for _, verdict, _ in SCENARIOS.values()) | {
    "groups-placed-in-part",
    "lws-controller-down",
    "disruption-budget",
    "subdomain-per-group",
    *("claims-changed", "change-not-applied", "change-waits"),  # test_doctor_changes.py
    *("queue-name-too-long", "queue-workload-ended"),  # test_doctor_queues.py
    *("recreated-after-restart", "recreated-once-after-restart", "restarted-before-start"),  # …_early_restarts.py
}
"""The verdicts of these tests, some of which are notes, and of two other files."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_has_its_verdict(name: str) -> None:
    change, verdict, pod = SCENARIOS[name]
    world = World()
    change(world)
    found = world.say()
    assert found.state is GroupHealth.FAILED
    assert (found.findings[0].id, found.findings[0].pod) == (verdict, pod), found.findings
    assert found.findings[0].severity is Severity.CAUSE


def test_groups_that_wait_for_each_other_s_nodes() -> None:
    world = World(groups=2)
    placed_in_part(world)
    for group in world.say().groups:
        assert [item.id for item in group.findings] == ["groups-placed-in-part", "gpu-insufficient"]
        assert "2 groups each hold some of the nodes" in group.findings[0].text


def test_one_group_with_too_few_nodes_waits_for_no_other() -> None:
    world = World(groups=2)
    placed_in_part(world)
    world.set_condition("vllm-1-1", condition("PodScheduled", True))
    assert {item.id for item in world.say().findings} == {"gpu-insufficient"}


def test_group_that_was_just_recreated_misses_no_pods() -> None:
    world = World()
    all_pods_away(world)
    world.event("Pod", "vllm-0", "Killing", "Stopping container vllm-leader", ago=5)
    assert world.say().state is GroupHealth.STARTING


@pytest.mark.parametrize(("ago", "verdicts"), [(5, []), (30, ["pods-not-made"])])
@pytest.mark.parametrize("by", ["apply", "scale"])
def test_group_that_was_just_requested_misses_no_pods(by: str, ago: float, verdicts: list[str]) -> None:
    world = World(groups=2)
    world.remove("vllm-1", "vllm-1-1")
    replicas: dict[str, Any] = {"fieldsV1": {"f:spec": {"f:replicas": {}}}}
    of_status = {"time": stamp(1), "fieldsV1": {"f:status": {"f:replicas": {}}}}
    lws, leaders = world.objects["leaderworkersets"][0]["metadata"], world.objects["statefulsets"][0]["metadata"]
    lws["managedFields"] = [of_status, {**replicas, "time": stamp(ago if by == "apply" else 800)}]
    if by == "scale":
        lws["managedFields"].append({**replicas, "subresource": "scale"})
        leaders["managedFields"] = [of_status, {**replicas, "time": stamp(ago)}]
    assert [finding.id for finding in world.say().findings] == verdicts


@pytest.mark.parametrize(
    ("wanted", "asked_for", "verdicts"),
    [(1, 1, []), (1, 2, ["arguments", "pods-not-made"]), (2, 2, ["arguments", "pods-not-made"])],
)
def test_worker_that_outlives_a_group_that_was_scaled_away_is_not_a_failure(
    wanted: int, asked_for: int, verdicts: list[str]
) -> None:
    world = World(groups=2)
    world.objects["leaderworkersets"][0]["spec"]["replicas"] = wanted
    world.objects["statefulsets"][0]["spec"]["replicas"] = asked_for
    world.remove("vllm-1")
    world.log("vllm-1-1", "vllm: error: unrecognized arguments: --not-a-flag", start=20)
    said = world.say()
    assert [finding.id for finding in said.findings] == verdicts
    assert [group.state for group in said.groups] == [
        GroupHealth.SERVING,
        GroupHealth.FAILED if verdicts else GroupHealth.STARTING,
    ]


def test_stuck_pod_of_a_group_that_was_scaled_away_is_reported() -> None:
    world = World(groups=2)
    world.objects["leaderworkersets"][0]["spec"]["replicas"] = world.objects["statefulsets"][0]["spec"]["replicas"] = 1
    world.remove("vllm-1")
    world.pod("vllm-1-1")["metadata"].update(deletionTimestamp=stamp(200), deletionGracePeriodSeconds=95)
    assert [finding.id for finding in world.say().findings] == ["stuck-terminating"]


@pytest.mark.parametrize("why", ["may not be read", "is gone"])
def test_failing_surge_group_is_reported_unless_it_is_known_to_be_scaled_away(why: str) -> None:
    world = World(groups=2)
    world.objects["leaderworkersets"][0]["spec"]["replicas"] = 1
    world.down("vllm-1")
    world.log("vllm-1", "vllm: error: unrecognized arguments: --not-a-flag", start=20)
    if why == "is gone":
        world.objects["statefulsets"].pop(0)
    else:
        world.denied["statefulsets"] = "Add a rule."
    assert "arguments" in [finding.id for finding in world.say().findings]


@pytest.mark.parametrize(("ago", "counts"), [(950, False), (550, True)])
def test_events_of_an_earlier_release_of_the_same_name_do_not_count(ago: float, counts: bool) -> None:
    world = World()
    world.down("vllm-0")
    for later in range(3):
        world.recreated(ago=ago - later)
    assert ("recreate-loop" in [finding.id for finding in world.say().findings]) is counts


@pytest.mark.parametrize(("ago", "state"), [(20, GroupHealth.STARTING), (700, GroupHealth.FAILED)])
def test_worker_whose_leader_was_just_deleted_is_not_a_failure(ago: float, state: GroupHealth) -> None:
    world = World()
    world.remove("vllm-0")
    said = "vllm-multinode: error: a pod of this group has closed its connection to port 29501"
    world.log("vllm-0-1", said, start=15)
    world.event("Pod", "vllm-0", "Killing", "Stopping container vllm-leader", ago=ago, last=5, uid="uid-before")
    assert world.say().state is state
