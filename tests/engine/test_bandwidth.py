"""The check of the bandwidth between two real nodes: it passes, and names the node whose traffic is limited."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.reference import PRESET
from engine.reference import ask as complete
from engine.test_active_preflight import actively
from kit.doctor import ask, verdict
from kit.progress import step, wait_until
from kit.release import Release
from kit.simulated import is_local_cluster
from localcluster import host
from localcluster.node import numbered

pytestmark = [
    pytest.mark.engine,
    pytest.mark.alone,
    pytest.mark.skipif(not is_local_cluster(), reason="limits the traffic of a node, which must be on this machine"),
]
LIMITED = "rate 100mbit burst 64kb latency 50ms"
"""0.0125 GB/s, as the options of tc's token bucket filter."""
FLOOR = 0.04
"""GB/s that two busy processors reach with Gloo, and a limited node does not."""
NODES = {node.name: node for node in numbered(2)}
START_LIMIT = 180
"""Seconds until a group serves, after some attempts to measure."""
MEASURED = ("active-bandwidth", "active-transport", "active-gpu-health")


@contextmanager
def limited(name: str) -> Iterator[None]:
    """Limit what a node may send for a while."""
    node = NODES[name]
    with step(f"limit of what {name} sends"):
        host.run(node.enter(["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *LIMITED.split()]))
    try:
        yield
    finally:
        host.run(node.enter(["tc", "qdisc", "del", "dev", "eth0", "root"]))


def test_nodes_that_are_well_pass(namespace: str, tmp_path: Path) -> None:
    said, found = actively(tmp_path, namespace, {}, "--bandwidth", f"--bandwidth-floor={FLOOR}")
    assert {item["status"] for name in MEASURED for item in found[name]} == {"PASS"}, said
    text = found["active-bandwidth"][0]["text"]
    assert re.search(rf"^2 CPU ranks on 2 nodes: bus bandwidth [\d.]+ GB/s \(at least {FLOOR}\)", text), text
    assert "GB/s from node to node" in text


@pytest.mark.parametrize("name", NODES)
def test_node_whose_traffic_is_limited_is_named(name: str, namespace: str, tmp_path: Path) -> None:
    (other,) = set(NODES) - {name}
    with limited(name):
        said, found = actively(tmp_path, namespace, {}, "--bandwidth", f"--bandwidth-floor={FLOOR}")
    failed = {check for check, items in found.items() if any(item["status"] == "FAIL" for item in items)}
    assert failed == {"active-bandwidth"}, said
    texts = [item["text"] for item in found["active-bandwidth"]]
    assert any(text.startswith(f"{name}: sends to {other} at 0.01") for text in texts), said
    assert not any(text.startswith(f"{other}: ") for text in texts), said


def test_group_starts_only_when_the_network_is_fast_enough(release: Release) -> None:
    values = {
        "fabric": {"bandwidthCheck": {"enabled": True, "floorGBps": FLOOR}},
        "startup": {"backoffSeconds": 5},
    }
    with limited("node-2"):
        release.install(PRESET, values=values)
        wait_until(
            "second attempt to measure",
            lambda: _log(release).count("the next attempt begins in 5 s") >= 2,
            START_LIMIT,
            state=lambda: _log(release)[-2000:],
        )
        assert "error: node-2: sends to node-1 at 0.01" in _log(release)
        (finding, *_) = ask(release.namespace).findings
        assert finding.id == "bandwidth-node", finding
        assert finding.text.endswith(": node-2 sends to node-1 slowly."), finding
        before = release.uids()
        assert not any("running" in _state(pod) for pod in release.pods()), "vLLM has not started"
    release.wait_available(START_LIMIT)
    assert release.uids() == before, "the group was not recreated"
    assert complete(release.namespace)[0]
    assert not verdict(ask(release.namespace)), "what failed at first is over"


def _log(release: Release) -> str:
    done = release.pod("vllm-0")
    return release.logs("vllm-0", "bandwidth") if done and "running" in _init_state(done) else ""


def _init_state(pod: dict[str, object]) -> dict[str, object]:
    return _first(pod, "initContainerStatuses")


def _state(pod: dict[str, object]) -> dict[str, object]:
    return _first(pod, "containerStatuses")


def _first(pod: dict[str, object], kind: str) -> dict[str, object]:
    """Return the state of a pod's first container of a kind, empty before there is one."""
    status = pod["status"]
    assert isinstance(status, dict)
    states = status.get(kind) or [{}]
    found = states[0].get("state") or {}
    assert isinstance(found, dict)
    return found
