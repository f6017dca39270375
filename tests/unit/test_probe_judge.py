"""What the answers of a probe's pods mean: each check fails and passes where it must."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from vmn.core.preflight.probe.bandwidth import BandwidthCheck
from vmn.core.preflight.probe.expectations import Expectations
from vmn.core.preflight.probe.judge import CHECKS, ProbeReport, answers_of, results
from vmn.core.preflight.probe.progress import Phase, PodProgress
from vmn.core.preflight.result import CheckResult, CheckStatus

GIB = 2**30
ASKED = Expectations(
    nodes=2,
    port=29501,
    interface="eth0",
    shared_memory=32 * GIB,
    rdma=True,
    gid=3,
    weights="/models/R1",
    gpus=8,
    resource="nvidia.com/gpu",
    writable=("/cache/home",),
    host_network=False,
    policies=1,
    bandwidth=BandwidthCheck(("python3",), {}, {}),
)
PORT = {"port": "mlx5_0:1", "state": "ACTIVE", "link": "Ethernet", "gid": "0000:0000:0000:0000:0000:ffff:0a00:0001"}
SAME: dict[str, Any] = {
    "dns": {"name": "x-0.x.default", "address": "10.0.0.1", "seconds": 1.2, "error": None},
    "interface": {"to": "10.0.0.1", "interface": "eth0", "interfaces": ["lo", "eth0", "net1"], "error": None},
    "memlock": {"limit": -1, "capability": False},
    "rdma": {"devices": ["uverbs0"], "closed": [], "ports": [PORT]},
    "shm": {"total": 32 * GIB, "free": 32 * GIB},
    "gpus": {"count": 8, "by": "nvidia-smi -L", "names": ["NVIDIA H100 80GB HBM3"]},
    "cache": {"user": 2000, "paths": {"/cache/home": None}},
    "weights": {
        "path": "/models/R1",
        "error": None,
        "configuration": True,
        "kind": "index",
        "files": 163,
        "size": 10**12,
        "total": 10**12,
        "missing": {"count": 0, "names": []},
        "broken": {"count": 0, "names": {}},
    },
    "bandwidth": {"summary": "16 GPUs on 2 nodes: bus bandwidth 150 GB/s", "problems": []},
    "transport": {"summary": "NCCL uses NET/IB/GDRDMA", "problems": []},
    "gpu-health": {"summary": "no errors on 16 GPUs", "problems": []},
}
SLOW = {"kind": "bandwidth", "node": "node-1", "text": "sends slowly", "fix": "Check its adapters.", "fails": True}
MET = {"listen": "10.0.0.1:29501", "error": None, "heard": [1]}
JOINED = {"to": "10.0.0.1:29501", "seconds": 0.1, "error": None, "back": None, "from": "10.0.0.2:4711"}


def reports(rank: int = 1, **changes: Any) -> list[ProbeReport]:
    """Return two healthy pods, one of them with other answers; None removes an answer."""
    both = [{**copy.deepcopy(SAME), "port": facts} for facts in (MET, JOINED)]
    for check, change in changes.items():
        both[rank][check] = change if change is None else {**both[rank][check], **change}
    return [
        ProbeReport(
            PodProgress(index, f"node-{index}", Phase.ENDED), {name: item for name, item in facts.items() if item}
        )
        for index, facts in enumerate(both)
    ]


def say(given: list[ProbeReport], asked: Expectations = ASKED, refused: str = "") -> list[CheckResult]:
    return list(results(asked, given, refused, 12))


def test_healthy_pods_pass_every_check() -> None:
    found = say(reports())
    assert [item.check for item in found] == ["active", *(f"active-{check.name}" for check in CHECKS)]
    assert {item.status for item in found} == {CheckStatus.PASS}, found
    assert "ran on node-0, node-1 for 12 s, with a copy of the release's NetworkPolicy" in found[0].text


@pytest.mark.parametrize(
    ("rank", "check", "facts", "status", "words"),
    [
        (1, "dns", {"address": None, "error": "Name or service not known"}, "FAIL", "did not resolve in 1 s: Name or"),
        (0, "port", {"error": "Address already in use"}, "FAIL", "can't listen on 10.0.0.1:29501: Address already"),
        (0, "port", {"heard": []}, "FAIL", "pod 1 did not connect to port 29501"),
        (1, "port", {"error": "timed out"}, "FAIL", "can't connect to pod 0 at 10.0.0.1:29501: timed out"),
        (1, "port", {"back": "timed out"}, "FAIL", "can't connect back to 10.0.0.2:4711: timed out"),
        (
            1,
            "interface",
            {"interfaces": ["lo", "ens3"], "interface": "ens3"},
            "FAIL",
            "interface eth0 does not exist; interfaces: lo",
        ),
        (1, "interface", {"error": "Network is unreachable", "interface": None}, "FAIL", "no route to the leader"),
        (
            1,
            "interface",
            {"interface": "net1"},
            "WARN",
            "the route to the leader uses net1, but fabric.interface is eth0",
        ),
        (1, "memlock", {"limit": 8 * 2**20}, "FAIL", "only 8192 KiB may be locked"),
        (1, "rdma", {"devices": []}, "FAIL", "no RDMA devices"),
        (1, "rdma", {"closed": ["uverbs0"]}, "FAIL", "uverbs0 can't be opened"),
        (1, "rdma", {"ports": [{**PORT, "state": "DOWN"}]}, "FAIL", "no port is up: mlx5_0:1 is DOWN"),
        (1, "rdma", {"ports": [PORT, {**PORT, "state": "DOWN", "port": "b:1"}]}, "WARN", "not up: b:1 is DOWN"),
        (1, "rdma", {"ports": [{**PORT, "gid": ""}]}, "FAIL", "no address at fabric.gidIndex 3"),
        (1, "shm", {"total": 64 * 2**20}, "FAIL", "64Mi, which is too small for NCCL"),
        (1, "shm", {"total": 16 * GIB}, "FAIL", "16384Mi of 32768Mi (sharedMemory.size)"),
        (1, "shm", {"total": None, "error": "no"}, "FAIL", "can't be inspected"),
        (1, "gpus", {"count": 7}, "FAIL", "nvidia-smi -L finds 7 GPUs, but 8 were requested"),
        (1, "gpus", {"count": 0, "error": "nvidia-smi ended with 9"}, "FAIL", "(nvidia-smi ended with 9)"),
        (1, "gpus", {"error": "nvidia-smi ended with 9"}, "FAIL", "nvidia-smi ended with 9"),
        (1, "cache", {"paths": {"/cache/home": "Permission denied"}}, "FAIL", "not writable for user 2000: Permission"),
        (1, "cache", {"paths": {"/cache/home": "No space left on device"}}, "FAIL", "is full: vLLM can't keep what it"),
        (1, "cache", {"free": {"/cache/home": 200 * 2**20}}, "WARN", "has only 200Mi free: vLLM can't keep what it"),
        (1, "weights", {"error": "does not exist"}, "FAIL", "/models/R1 does not exist"),
        (1, "bandwidth", {"problems": [SLOW]}, "FAIL", "node-1: sends slowly"),
        (1, "bandwidth", {"skipped": "the pods do not reach each other"}, "WARN", "not measured: the pods do not"),
        (1, "transport", {"problems": [{**SLOW, "text": "NCCL uses NET/Socket"}]}, "FAIL", "NET/Socket"),
        (1, "gpu-health", {"problems": [{**SLOW, "text": "GPU 3 is reset soon", "fails": False}]}, "WARN", "GPU 3"),
    ],
)
def test_check_fails_for_the_unhealthy_node(
    rank: int, check: str, facts: dict[str, Any], status: str, words: str
) -> None:
    found = say(reports(rank, **{check: facts}))
    failing = [item for item in found if item.status is not CheckStatus.PASS]
    assert [(item.check, str(item.status)) for item in failing] == [(f"active-{check}", status)]
    assert failing[0].text.startswith(f"node-{rank}: ")
    assert words in failing[0].text
    assert failing[0].fix


def test_same_problem_of_several_nodes_is_reported_once() -> None:
    both = [ProbeReport(item.pod, {**item.answers, "shm": {"total": GIB}}) for item in reports()]
    failing = [item for item in say(both) if item.status is CheckStatus.FAIL]
    assert [item.text.partition(":")[0] for item in failing] == ["node-0, node-1"]


def test_capability_lifts_the_limit_of_locked_memory() -> None:
    found = say(reports(memlock={"limit": 8 * 2**20, "capability": True}))
    assert {item.status for item in found} == {CheckStatus.PASS}


def test_loopback_is_refused() -> None:
    host = replace(ASKED, interface=None, host_network=True)
    failed = [item for item in say(reports(interface={"interface": "lo"}), host) if item.status is CheckStatus.FAIL]
    assert failed[0].text == "node-1: the route to the leader uses lo"
    named = replace(ASKED, interface="lo")
    assert "fabric.interface is lo" in next(
        item.text for item in say(reports(), named) if item.status is CheckStatus.FAIL
    )


def test_checks_that_the_release_does_not_need_are_skipped_with_the_reason() -> None:
    small = replace(ASKED, nodes=1, rdma=False, gpus=0, resource=None, weights=None, policies=0, bandwidth=None)
    one = [reports()[0]]
    found = say(
        [ProbeReport(one[0].pod, {name: one[0].answers[name] for name in ("interface", "shm", "cache")})], small
    )
    skipped = {item.check for item in found if item.status is CheckStatus.SKIP}
    together = ("bandwidth", "transport", "gpu-health")
    assert skipped == {f"active-{name}" for name in ("dns", "port", "memlock", "rdma", "gpus", "weights", *together)}
    assert {item.status for item in found} == {CheckStatus.PASS, CheckStatus.SKIP}
    assert "no NetworkPolicy, like the release" in found[0].text
    amd = replace(ASKED, resource="amd.com/gpu")
    assert "only NVIDIA GPUs" in next(item.text for item in say(reports(), amd) if item.check == "active-gpus")


def test_pod_that_did_not_start_is_reported_in_the_scheduler_s_words() -> None:
    stuck = ProbeReport(PodProgress(1, "", Phase.STUCK, "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."), {})
    first, *others = say([reports()[0], stuck])
    assert first.status is CheckStatus.FAIL
    assert first.text == "pod 1 did not start in 12 s: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    assert [item.status for item in others if item.check == "active"] == []


def test_container_that_failed_is_reported() -> None:
    bad = ProbeReport(PodProgress(1, "node-1", Phase.ENDED, "StartError, exit status 128: python3: not found"), {})
    assert say([reports()[0], bad])[0].text == "node-1 ended: StartError, exit status 128: python3: not found"


def test_pods_that_were_never_created_are_reported_with_the_reason() -> None:
    found = say([], refused="forbidden: exceeded quota: all")
    assert [item.text for item in found] == ["0 of 2 pods were created in 12 s: forbidden: exceeded quota: all"]


def test_pod_that_logged_nothing_is_reported() -> None:
    found = say([reports()[0], ProbeReport(PodProgress(1, "node-1", Phase.RUNS), {})])
    assert (found[0].status, found[0].text) == (CheckStatus.FAIL, "node-1: the pod logged nothing in 12 s")


def test_missing_answer_fails_and_is_not_reported_twice() -> None:
    lost = [item for item in say(reports(0, port=None)) if item.status is CheckStatus.FAIL]
    assert [item.text for item in lost] == ["node-0: no answer"]
    blocked = reports(1, port={"error": "timed out"})
    blocked[0] = reports(0, port=None)[0]
    texts = [item.text for item in say(blocked) if item.status is CheckStatus.FAIL]
    assert texts == ["node-1: can't connect to pod 0 at 10.0.0.1:29501: timed out"]


def test_answers_are_found_between_other_lines_and_truncated_ones_are_ignored() -> None:
    line = "vmn-active " + json.dumps({"check": "shm", "total": 1})
    log = f'Warning: something\n{line}\nvmn-active {{"check": "dns", "addr\nvmn-active []\nvmn-active {{}}\n'
    assert answers_of(log) == {"shm": {"total": 1}}


def test_problem_of_the_whole_group_is_reported_once_and_that_of_a_node_with_its_name() -> None:
    both = reports()
    group = {**SLOW, "node": None, "text": "the bus bandwidth of the group is 3 GB/s"}
    given = [{**SAME["bandwidth"], "problems": problems} for problems in ([group], [SLOW, group])]
    found = say([ProbeReport(one.pod, {**one.answers, "bandwidth": own}) for one, own in zip(both, given, strict=True)])
    texts = [item.text for item in found if item.check == "active-bandwidth"]
    assert sorted(texts) == ["node-0, node-1: the bus bandwidth of the group is 3 GB/s", "node-1: sends slowly"]
