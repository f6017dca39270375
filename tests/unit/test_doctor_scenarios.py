"""Whole clusters: which pod failed first, what only waits for it, what is over, and what a group alone shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from unit.doctor_data.world import UP, World, condition, stamp
from vmn.core.doctor.finding import Role, State
from vmn.core.doctor.release import Pulse

Change = Callable[[World], None]
STORE = "torch.distributed.DistStoreError: Timed out after 1801 seconds waiting for clients. 1/2 clients joined."
HANDSHAKE = "vllm-multinode: rank 0 of 2 node(s), leader at 10.0.0.7, backend mp"
ENDED = "vllm-multinode: vllm serve ended with exit status 1 after 1803 s (served: no); the container ends in 30 s"
KILLED = "vllm-multinode: vllm serve ended with exit status 137 after 812 s (served: yes)"
LOST = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}


def ready(world: World, where: int, status: str, **more: str) -> None:
    """Set a node's condition."""
    world.objects["nodes"][where]["status"]["conditions"] = [condition("Ready", status, 100, **more)]


def controller_down(world: World) -> None:
    world.objects["deployments"][0]["status"] = {"availableReplicas": 0}


def node_lost(world: World) -> None:
    ready(world, 1, "Unknown", **LOST)
    world.down("vllm-0-1")
    world.unread = {"vllm-0-1": "no answer from its node in 6 s"}


def node_lost_and_group_stuck(world: World) -> None:
    node_lost(world)
    for name in ("vllm-0", "vllm-0-1"):
        world.pod(name)["metadata"].update(deletionTimestamp=stamp(50), deletionGracePeriodSeconds=30)


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
    "no pods": (all_pods_away, "pods-not-made", None),
}
VERDICTS = frozenset(verdict for _, verdict, _ in SCENARIOS.values()) | {"lws-controller-down"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_has_its_verdict(name: str) -> None:
    change, verdict, pod = SCENARIOS[name]
    world = World()
    change(world)
    found = world.say()
    assert found.state is State.FAILED
    assert (found.findings[0].id, found.findings[0].pod) == (verdict, pod), found.findings
    assert found.findings[0].role is Role.CAUSE


def test_worker_is_the_cause_when_the_leader_only_timed_out_waiting_for_it() -> None:
    world = World()
    world.down("vllm-0")
    world.log(
        "vllm-0", HANDSHAKE, STORE, "RuntimeError: Engine core initialization failed. See root cause above.", ENDED
    )
    world.pending("vllm-0-1", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", ago=1900)
    found = world.say().findings
    assert (found[0].id, found[0].pod) == ("gpu-insufficient", "vllm-0-1")
    assert found[0].text.startswith(
        "vllm-0-1 (worker) failed first, at 10:28:20: no node has enough free nvidia.com/gpu."
    )
    assert "vllm-0 (leader) only waits for it." in found[0].text
    roles = {item.id: (item.pod, item.role) for item in found}
    assert roles["rendezvous-timeout"] == ("vllm-0", Role.SYMPTOM)
    assert roles["engine-core-failed"] == ("vllm-0", Role.SYMPTOM)


def test_cause_stays_the_cause_when_its_symptom_was_logged_earlier() -> None:
    world = World()
    world.down("vllm-0")
    world.log("vllm-0", STORE, ENDED, start=90)
    world.log("vllm-0-1", "ValueError: No available memory for the cache blocks.", start=20)
    assert (world.verdict().id, world.verdict().pod) == ("kv-cache-none", "vllm-0-1")


def test_first_of_two_causes_is_the_verdict() -> None:
    world = World()
    world.down("vllm-0")
    world.log("vllm-0", "OSError: [Errno 28] No space left on device", start=30)
    world.log("vllm-0-1", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB.", start=45)
    found = world.say().findings
    assert [(item.id, item.pod, item.role) for item in found[:2]] == [
        ("cuda-out-of-memory", "vllm-0-1", Role.CAUSE),
        ("disk-full", "vllm-0", Role.CAUSE),
    ]


def test_same_cause_in_both_pods_is_one_finding_with_both_lines() -> None:
    world = World()
    line = "vllm serve: error: unrecognized arguments: --max-num-sequences 4"
    world.log("vllm-0", line, ENDED, start=31)
    world.log("vllm-0-1", line, ENDED, start=33)
    world.down("vllm-0")
    found = [item for item in world.say().findings if item.id == "arguments"]
    assert [(item.pod, [line.pod for line in item.evidence]) for item in found] == [
        ("vllm-0-1", ["vllm-0-1", "vllm-0"])
    ]


def test_every_group_has_its_own_verdict() -> None:
    world = World(groups=3)
    world.down("vllm-1")
    world.state("vllm-1-1", "terminated", reason="OOMKilled", exitCode=137, finishedAt=stamp(20))
    world.pending("vllm-2", "0/6 nodes are available: 6 node(s) had untolerated taint(s).")
    found = world.say()
    assert [group.state for group in found.groups] == [State.SERVING, State.FAILED, State.FAILED]
    assert [group.findings[0].id if group.findings else None for group in found.groups] == [
        *(None, "out-of-memory", "taint-untolerated")
    ]
    assert {item.group for item in found.findings} == {1, 2}


def test_recovered_release_is_healthy_and_tells_what_happened() -> None:
    world = World()
    world.recreated("vllm-0-1", ago=700)
    world.event("Pod", "vllm-0-1", "Killing", "Container vllm-worker failed liveness probe", ago=705, uid="old")
    found = world.say()
    assert (found.state, found.failed) == (State.SERVING, False)
    assert [(item.id, item.role) for item in found.findings] == [("recreated", Role.NOTE)]
    assert "Worker pod vllm-0-1 failed" in found.findings[0].text


def test_last_termination_is_a_note_when_the_release_serves_again() -> None:
    world = World()
    world.main("vllm-0").update(restartCount=1)
    world.state("vllm-0", "terminated", last=True, reason="OOMKilled", exitCode=137, finishedAt=stamp(595))
    found = world.say()
    assert found.state is State.SERVING
    assert [(item.id, item.role) for item in found.findings] == [("restarted", Role.NOTE)]
    assert "exit code 137 (OOMKilled)" in found.findings[0].text


def test_group_that_was_made_anew_once_is_starting() -> None:
    world = World()
    world.recreated("vllm-0", ago=60)
    world.log("vllm-0", HANDSHAKE, start=20)
    world.log("vllm-0-1", HANDSHAKE, start=20)
    world.down("vllm-0")
    found = world.say()
    assert (found.state, found.failed) == (State.STARTING, False)
    assert "1 of 2 pods ready" in found.groups[0].line


def test_previous_log_has_the_cause_when_the_container_was_restarted_in_place() -> None:
    world = World()
    world.main("vllm-0-1").update(restartCount=1)
    world.down("vllm-0-1")
    world.log("vllm-0-1", "RuntimeError: Cannot find any model weights with `/models/R1`", start=50, previous=True)
    world.log("vllm-0-1", HANDSHAKE, start=10)
    verdict = world.verdict()
    assert (verdict.id, verdict.evidence[0].origin) == (
        "weights-none",
        "log, before its restart, of vllm-0-1 (vllm-worker)",
    )


def test_event_is_over_when_the_container_runs_since() -> None:
    world = World()
    world.event(
        "Pod",
        "vllm-0",
        "FailedMount",
        'MountVolume.SetUp failed for volume "a" : hostPath type check failed: /x is not a directory',
        ago=595,
    )
    world.event(
        "Pod", "vllm-0-1", "FailedScheduling", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", ago=10
    )
    world.log("vllm-0", HANDSHAKE)
    world.down("vllm-0")
    assert world.say().state is State.STARTING


def test_event_of_a_pod_that_is_gone_counts_only_when_the_group_comes_and_goes() -> None:
    world = World()
    world.event("Pod", "vllm-0", "Killing", "Container vllm-leader failed startup probe, will be restarted", uid="old")
    world.log("vllm-0", HANDSHAKE)
    world.down("vllm-0")
    assert world.say().state is State.STARTING
    world.recreated(count=4)
    assert {item.id for item in world.say().findings} >= {"recreate-loop", "startup-probe"}


def test_failed_creation_is_over_when_the_pod_is_there() -> None:
    world = World()
    message = 'create Pod vllm-0 in StatefulSet vllm failed error: pods "vllm-0" is forbidden: exceeded quota: team'
    world.event("StatefulSet", "vllm", "FailedCreate", message)
    world.log("vllm-0", HANDSHAKE)
    world.down("vllm-0")
    assert world.say().state is State.STARTING


def test_name_that_resolves_by_now_is_no_finding() -> None:
    world = World()
    said = "Startup probe failed: the leader's name vllm-0.vllm.serving does not resolve"
    world.event("Pod", "vllm-0-1", "Unhealthy", said, ago=60)
    world.log("vllm-0-1", "vllm-multinode: rank 1 of 2 node(s), leader at 10.0.0.7, backend mp", start=30)
    world.down("vllm-0-1")
    assert world.say().state is State.STARTING


def test_controller_down_is_a_note_when_the_release_serves() -> None:
    world = World()
    controller_down(world)
    found = world.say()
    assert (found.state, found.failed) == (State.SERVING, False)
    assert [(item.id, item.role) for item in found.findings] == [("lws-controller-down", Role.NOTE)]


@pytest.mark.parametrize("pulse", [Pulse(2.0, 31.0, 10.0), Pulse(0.0, 0.0, 10.0)])
def test_requests_that_get_tokens_and_an_idle_leader_are_healthy(pulse: Pulse) -> None:
    world = World()
    world.pulses = {"vllm-0": pulse}
    assert world.say().state is State.SERVING


def test_starting_release_says_how_far_it_is() -> None:
    world = World()
    world.log("vllm-0", *UP[:6], start=20)
    world.down("vllm-0")
    line = world.say().groups[0].line
    assert line.startswith("group 0 is starting for 600 s, 1 of 2 pods ready")
    assert "Loading safetensors checkpoint shards" in line


def test_what_may_not_be_read_makes_nothing_up() -> None:
    world = World()
    world.denied = {"nodes": "Add a rule.", "deployments": "Add a rule.", "leases": "Add a rule."}
    found = world.say()
    assert (found.state, found.findings) == (State.SERVING, [])
    assert dict(found.denied) == world.denied


def test_lost_node_has_the_taint_in_its_fix_and_names_the_node() -> None:
    world = World()
    node_lost_and_group_stuck(world)
    verdict = world.verdict()
    assert "node node-1 is lost" in verdict.text
    assert "kubectl taint nodes node-1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute" in verdict.fix
