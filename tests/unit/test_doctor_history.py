"""Which pod failed first, what follows from it, what is over, and the notes of a release that serves."""

from __future__ import annotations

import pytest

from unit.doctor_data.failures import HANDSHAKE, KILLED, controller_down, node_lost_and_group_stuck
from unit.doctor_data.world import UP, World, stamp
from vmn.core.cluster.lws import NAME
from vmn.core.cluster.release import Pulse
from vmn.core.doctor.finding import GroupHealth, Severity

STORE = "torch.distributed.DistStoreError: Timed out after 1801 seconds waiting for clients. 1/2 clients joined."
ENDED = "vllm-multinode: vllm serve ended with exit status 1 after 1803 s (served: no); the container ends in 30 s"


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
    roles = {item.id: (item.pod, item.severity) for item in found}
    assert roles["rendezvous-timeout"] == ("vllm-0", Severity.SYMPTOM)
    assert "engine-core-failed" not in roles, "it says nothing that the other line does not"


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
    assert [(item.id, item.pod, item.severity) for item in found[:2]] == [
        ("cuda-out-of-memory", "vllm-0-1", Severity.CAUSE),
        ("disk-full", "vllm-0", Severity.CAUSE),
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
    assert [group.state for group in found.groups] == [GroupHealth.SERVING, GroupHealth.FAILED, GroupHealth.FAILED]
    assert [group.findings[0].id if group.findings else None for group in found.groups] == [
        None,
        "out-of-memory",
        "taint-untolerated",
    ]
    assert {item.group for item in found.findings} == {1, 2}


def test_recovered_release_is_healthy_and_tells_what_happened() -> None:
    world = World()
    world.recreated("vllm-0-1", ago=700)
    world.event("Pod", "vllm-0-1", "Killing", "Container vllm-worker failed liveness probe", ago=705, uid="old")
    found = world.say()
    assert (found.state, found.failed) == (GroupHealth.SERVING, False)
    assert [(item.id, item.severity) for item in found.findings] == [("recreated", Severity.NOTE)]
    assert "Worker pod vllm-0-1 failed" in found.findings[0].text


def test_last_termination_is_a_note_when_the_release_serves_again() -> None:
    world = World()
    world.main("vllm-0").update(restartCount=1)
    world.state("vllm-0", "terminated", last=True, reason="OOMKilled", exitCode=137, finishedAt=stamp(595))
    found = world.say()
    assert found.state is GroupHealth.SERVING
    assert [(item.id, item.severity) for item in found.findings] == [("restarted", Severity.NOTE)]
    assert "exit code 137 (OOMKilled)" in found.findings[0].text


def test_group_that_was_recreated_once_is_starting() -> None:
    world = World()
    world.recreated("vllm-0", ago=60)
    world.log("vllm-0", HANDSHAKE, start=20)
    world.log("vllm-0-1", HANDSHAKE, start=20)
    world.down("vllm-0")
    found = world.say()
    assert (found.state, found.failed) == (GroupHealth.STARTING, False)
    assert "1 of 2 pods are ready" in found.groups[0].line


def test_previous_log_has_the_cause_when_the_container_was_restarted_in_place() -> None:
    world = World()
    world.main("vllm-0-1").update(restartCount=1)
    world.down("vllm-0-1")
    world.log("vllm-0-1", "RuntimeError: Cannot find any model weights with `/models/R1`", start=50, previous=True)
    world.log("vllm-0-1", HANDSHAKE, start=10)
    verdict = world.verdict()
    assert (verdict.id, verdict.evidence[0].origin) == (
        "weights-none",
        "log of the previous container of vllm-0-1 (vllm-worker)",
    )


def test_event_is_over_when_the_container_has_run_since() -> None:
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
    assert world.say().state is GroupHealth.STARTING


def test_event_of_a_deleted_pod_counts_only_when_the_group_is_recreated_repeatedly() -> None:
    world = World()
    world.event("Pod", "vllm-0", "Killing", "Container vllm-leader failed startup probe, will be restarted", uid="old")
    world.log("vllm-0", HANDSHAKE)
    world.down("vllm-0")
    assert world.say().state is GroupHealth.STARTING
    world.recreated(count=4)
    assert {item.id for item in world.say().findings} >= {"recreate-loop", "startup-probe"}


def test_failed_creation_is_over_when_the_pod_exists() -> None:
    world = World()
    message = 'create Pod vllm-0 in StatefulSet vllm failed error: pods "vllm-0" is forbidden: exceeded quota: team'
    world.event("StatefulSet", "vllm", "FailedCreate", message)
    world.log("vllm-0", HANDSHAKE)
    world.down("vllm-0")
    assert world.say().state is GroupHealth.STARTING


def test_name_that_resolves_meanwhile_is_not_a_finding() -> None:
    world = World()
    said = "Startup probe failed: the leader's name vllm-0.vllm.serving does not resolve"
    world.event("Pod", "vllm-0-1", "Unhealthy", said, ago=60)
    world.log("vllm-0-1", "vllm-multinode: rank 1 of 2 node(s), leader at 10.0.0.7, backend mp", start=30)
    world.down("vllm-0-1")
    assert world.say().state is GroupHealth.STARTING


def test_controller_down_is_a_note_when_the_release_serves() -> None:
    world = World()
    controller_down(world)
    found = world.say()
    assert (found.state, found.failed) == (GroupHealth.SERVING, False)
    assert [(item.id, item.severity) for item in found.findings] == [("lws-controller-down", Severity.NOTE)]


def test_budget_that_allows_nothing_is_a_note() -> None:
    world = World()
    spec = {"selector": {"matchLabels": {NAME: "vllm"}}}
    entry = {"metadata": {"name": "vllm"}, "spec": spec, "status": {"disruptionsAllowed": 0}}
    other = {**entry, "spec": {"selector": {"matchLabels": {NAME: "other"}}}}
    world.objects["poddisruptionbudgets"] = [other]
    assert world.say().findings == []
    world.objects["poddisruptionbudgets"] = [entry]
    assert [(item.id, item.severity) for item in world.say().findings] == [("disruption-budget", Severity.NOTE)]


def test_service_per_group_is_a_note_while_the_group_starts() -> None:
    world = World()
    world.objects["leaderworkersets"][0]["spec"]["networkConfig"] = {"subdomainPolicy": "UniquePerReplica"}
    assert world.say().findings == []
    world.log("vllm-0", HANDSHAKE)
    world.down("vllm-0")
    assert ("subdomain-per-group", Severity.NOTE) in [(item.id, item.severity) for item in world.say().findings]


def test_group_that_is_being_deleted_has_not_failed() -> None:
    world = World()
    for name in ("vllm-0", "vllm-0-1"):
        world.pod(name)["metadata"].update(deletionTimestamp=stamp(-65), deletionGracePeriodSeconds=95)
    world.log("vllm-0-1", "torch.distributed.DistNetworkError: Failed to recv, got 0 bytes.", KILLED, start=20)
    world.state("vllm-0", "terminated", reason="Error", exitCode=137, finishedAt=stamp(10))
    found = world.say()
    assert (found.state, found.groups[0].line) == (GroupHealth.STARTING, "group 0 is being deleted")


def test_cause_is_shown_when_the_group_is_deleted_because_of_it() -> None:
    world = World()
    world.state("vllm-0-1", "terminated", reason="OOMKilled", exitCode=137, finishedAt=stamp(32))
    for name in ("vllm-0", "vllm-0-1"):
        world.pod(name)["metadata"].update(deletionTimestamp=stamp(-65), deletionGracePeriodSeconds=95)
    assert (world.verdict().id, world.verdict().pod) == ("out-of-memory", "vllm-0-1")


def test_note_of_a_recovered_group_explains_the_recreation() -> None:
    world = World()
    world.recreated("vllm-0-1", ago=620)
    world.event("Pod", "vllm-0-1", "NodeNotReady", "Node is not ready", ago=660, uid="old")
    world.event(
        "Pod", "vllm-0-1", "TaintManagerEviction", "Marking for deletion Pod serving/vllm-0-1", ago=622, uid="old"
    )
    world.event("Pod", "vllm-0", "Killing", "Stopping container vllm-leader", ago=619, uid="old")
    note = world.verdict()
    assert (note.id, note.severity) == ("recreated", Severity.NOTE)
    assert "before that, vllm-0-1: NodeNotReady: Node is not ready" in note.text
    assert "Stopping" not in note.text


@pytest.mark.parametrize("pulse", [Pulse(2.0, 31.0, 10.0), Pulse(0.0, 0.0, 10.0)])
def test_requests_that_get_tokens_and_an_idle_leader_are_healthy(pulse: Pulse) -> None:
    world = World()
    world.pulses = {"vllm-0": pulse}
    assert world.say().state is GroupHealth.SERVING


def test_starting_release_says_how_far_it_is() -> None:
    world = World()
    world.log("vllm-0", *UP[:6], start=20)
    world.down("vllm-0")
    line = world.say().groups[0].line
    assert line.startswith("group 0 has been starting for 600 s, 1 of 2 pods are ready")
    assert "Loading safetensors checkpoint shards" in line


def test_missing_rights_cause_no_findings() -> None:
    world = World()
    world.denied = {"nodes": "Add a rule.", "deployments": "Add a rule.", "leases": "Add a rule."}
    found = world.say()
    assert (found.state, found.findings) == (GroupHealth.SERVING, [])
    assert dict(found.denied) == world.denied


def test_lost_node_has_the_taint_in_its_fix_and_names_the_node() -> None:
    world = World()
    node_lost_and_group_stuck(world)
    verdict = world.verdict()
    assert "node node-1 is lost" in verdict.text
    assert "kubectl taint nodes node-1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute" in verdict.fix


@pytest.mark.parametrize("stopped", [True, False])
def test_exit_of_a_deleted_pod_is_not_a_failure_even_if_a_finalizer_holds_it(stopped: bool) -> None:
    """The API server sets the time of deletion again when the containers have ended."""
    world = World()
    world.remove("vllm-0-1")
    world.state("vllm-0", "terminated", reason="Error", exitCode=137, finishedAt=stamp(10))
    world.pod("vllm-0")["metadata"].update(deletionTimestamp=stamp(2), deletionGracePeriodSeconds=0)
    if stopped:
        world.event("Pod", "vllm-0", "Killing", "Stopping container vllm-leader", ago=14, uid="uid-vllm-0")
    assert ("killed" in {item.id for item in world.say().findings}) is not stopped


PEER = "error: a pod of this group has closed its connection to port 29501: its vLLM has ended"


def worker_after_its_leader(ago: float) -> World:
    """Return a group whose worker exited with its old leader, while a new leader already exists."""
    world = World()
    world.pod("vllm-0")["metadata"].update(uid="uid-new", creationTimestamp=stamp(1))
    world.state("vllm-0", "running", startedAt=stamp(1))
    world.log("vllm-0", UP[0], start=1)
    world.event("Pod", "vllm-0", "Killing", "Stopping container vllm-leader", ago=ago, uid="uid-vllm-0")
    world.state("vllm-0-1", "terminated", reason="Error", exitCode=1, finishedAt=stamp(2), message=PEER)
    world.log("vllm-0-1", PEER, start=2)
    return world


def test_worker_that_outlives_its_deleted_leader_for_a_moment_has_not_failed() -> None:
    assert worker_after_its_leader(ago=9).say().state is GroupHealth.STARTING


def test_worker_that_ends_before_its_leader_was_deleted_has_failed() -> None:
    found = worker_after_its_leader(ago=0).say()
    assert (found.state, found.findings[0].pod) == (GroupHealth.FAILED, "vllm-0-1")


TOLD = (
    "vllm-multinode: an earlier failure: vllm serve ended with exit status 2 after 12 s (served: no); vllm: error: "
    "unrecognized arguments: --not-a-flag; its log is in /cache/failures/vllm-0.x.rank-0.20261126T105000.000Z.log"
)


def test_past_failure_is_a_note_while_the_group_starts() -> None:
    world = World()
    world.log("vllm-0", TOLD, *UP[:3])
    world.down("vllm-0")
    found = world.say()
    assert found.state is GroupHealth.STARTING
    note = next(item for item in found.findings if item.id == "earlier-failure")
    assert "unrecognized arguments" in note.text


def test_past_failure_is_the_verdict_when_the_group_is_recreated_repeatedly() -> None:
    world = World()
    world.log("vllm-0", TOLD, *UP[:3])
    world.down("vllm-0")
    world.recreated(count=4)
    assert world.verdict().id == "arguments"


def test_past_failure_says_its_date_and_its_release() -> None:
    world = World()
    world.log("vllm-0", f"{TOLD} (of vllm-0.vllm.serving, 2026-11-26 10:50:00 UTC)", *UP[:3])
    world.down("vllm-0")
    note = next(item for item in world.say().findings if item.id == "earlier-failure")
    assert "past failure of release vllm, at 2026-11-26 10:50:00 UTC: " in note.text


def test_past_failure_of_an_earlier_release_of_the_same_name_is_told_apart_and_never_the_verdict() -> None:
    world = World()
    world.log("vllm-0", TOLD.replace("20261126T105000", "20261120T105000"), *UP[:3])
    world.down("vllm-0")
    world.recreated(count=4)
    found = world.say().findings
    assert found[0].id == "recreate-loop"
    note = next(item for item in found if item.id == "earlier-failure")
    assert "of an earlier release vllm, before this one was created at 2026-11-26 10:45:00 UTC" in note.text
    assert "2026-11-20 10:50:00 UTC" in note.text


def earlier(reason: str, at: str, rank: int = 0) -> str:
    """Return a line in which a pod reports a past failure."""
    path = f"/cache/failures/vllm-0.vllm.serving.rank-{rank}.{at}.log"
    ended = "vllm serve ended with exit status 137 after 40 s (served: yes)"
    return f"vllm-multinode: an earlier failure: {'; '.join(filter(None, (ended, reason)))}; its log is in {path}"


@pytest.mark.parametrize(
    ("leader", "worker", "told"),
    [
        # the pod that failed, not the one that only saw it end
        (earlier("", "20261126T105726.000Z"), earlier(PEER, "20261126T105728.000Z", 1), ["vllm-0"]),
        (earlier(PEER, "20261126T105728.000Z"), earlier("", "20261126T105726.000Z", 1), ["vllm-0-1"]),
        # and not one of a failure long before
        (earlier("", "20261126T105026.000Z"), earlier("", "20261126T105726.000Z", 1), ["vllm-0-1"]),
        # whoever tells of it: nodes may share the directory
        ("", earlier(PEER, "20261126T105728.000Z", 1) + "\n" + earlier("", "20261126T105726.000Z"), ["vllm-0"]),
        # without more information, what is known
        ("", earlier(PEER, "20261126T105728.000Z", 1), ["vllm-0-1"]),
    ],
)
def test_last_failure_is_reported_by_the_pod_that_failed(leader: str, worker: str, told: list[str]) -> None:
    world = World()
    world.log("vllm-0", *leader.splitlines())
    world.log("vllm-0-1", *worker.splitlines())
    found = [item for item in world.say().findings if item.id == "earlier-failure"]
    assert [item.pod for item in found] == told


@pytest.mark.parametrize(("first", "second"), [("vllm-0", "vllm-0-1"), ("vllm-0-1", "vllm-0")])
def test_deleted_pod_is_named_as_the_reason_for_deleting_the_group(first: str, second: str) -> None:
    world = World()
    world.event("Pod", first, "Killing", "Stopping container vllm", ago=100, uid="old")
    world.event("Pod", second, "Killing", "Stopping container vllm", ago=92, uid="old too")
    world.recreated("vllm-0-1", ago=95)
    note = next(item for item in world.say().findings if item.id == "deleted")
    assert (note.pod, note.severity) == (first, Severity.NOTE)


def test_pods_that_leaderworkerset_deleted_are_not_reported_as_deleted() -> None:
    world = World()
    world.recreated("vllm-0-1", ago=95)
    world.event("Pod", "vllm-0", "Killing", "Stopping container vllm", ago=94, uid="old")
    world.event("Pod", "vllm-0-1", "Killing", "Stopping container vllm", ago=93, uid="old too")
    assert "deleted" not in [item.id for item in world.say().findings]
