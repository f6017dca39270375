"""Data-parallel replicas as endpoints of their own: vLLM over two nodes, with two replicas in each pod."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from engine.proxy import DRAIN_LIMIT, Proxy, no_request_is_lost, proxied
from engine.reference import PRESET, START_LIMIT
from kit import nodeprocesses
from kit.cluster import Object, is_ready, objects
from kit.doctor import ask, verdict
from kit.progress import say, step, wait_until
from kit.release import Release
from kit.render import render
from kit.simulated import is_local_cluster

pytestmark = [pytest.mark.engine, pytest.mark.minutes(7)]
EXPERTS = {"architectures": ["MixtralForCausalLM"], "num_local_experts": 4, "num_experts_per_tok": 2}
"""What makes a mixture of experts of the tiny model, with weights by chance: vLLM refuses these ports for others."""
VALUES: dict[str, Any] = {
    "group": {"gpusPerNode": 2},
    "parallelism": {"data": 4, "dataLoadBalancer": "external"},
    "engine": {"args": {"load-format": "dummy", "hf-overrides": EXPERTS}},
    "shutdown": {"drainSeconds": DRAIN_LIMIT},
}
POOL = {"routing": {"inferencePool": {"endpointPicker": "vllm-epp"}}}
ENDPOINTS = {("vllm-0", 8080): 0, ("vllm-0", 8081): 1, ("vllm-0-1", 8080): 2, ("vllm-0-1", 8081): 3}
"""Pod and port -> data-parallel replica."""


def asked(proxy: Proxy) -> dict[int, int]:
    """Return how many requests each replica has answered, as its own endpoint says."""
    found: dict[int, int] = {}
    for (pod, port), replica in ENDPOINTS.items():
        said = answered(proxy.page("pods", pod, port, "metrics"))
        assert set(said) == {replica}, f"{pod}:{port} is not replica {replica} alone"
        found |= said
    return found


def answered(metrics: str) -> dict[int, int]:
    """Return by engine how many requests got several tokens: those of stall.sh, to an engine that is idle, get one."""
    found: Counter[int] = Counter()
    for kind, labels, value in re.findall(
        r"^vllm:request_generation_tokens_(count|bucket)\{(.*)\} (\S+)$", metrics, re.MULTILINE
    ):
        (engine,) = re.findall(r'engine="(\d+)"', labels)
        if kind == "count":
            found[int(engine)] += int(float(value))
        elif 'le="1.0"' in labels:
            found[int(engine)] -= int(float(value))
    return found


@pytest.fixture(scope="module")
def serving(namespace: str) -> Iterator[Release]:
    """Install the model, and wait until both pods serve."""
    release = Release(namespace)
    release.install(PRESET, values=VALUES)
    release.wait_available(START_LIMIT)
    yield release
    with step("helm uninstall until all pods are gone"):
        release.uninstall()


def test_service_reaches_every_replica(serving: Release) -> None:
    with proxied(serving.namespace) as proxy:
        sent, found = 0, asked(proxy)
        assert set(found.values()) == {0}
        while not all(found.values()) and sent < 40:  # a port has a replica of each pod, of which it gets one by chance
            for port in (8080, 8081):
                assert proxy.complete("services", "vllm-leader", port) == 2
                sent += 1
            found = asked(proxy)
    say(f"requests by replica: {found}")
    assert all(found.values())
    assert sum(found.values()) == sent
    assert "Succeeded" in serving.test().stdout


def test_every_port_of_the_inference_pool_is_a_replica(serving: Release) -> None:
    pool = render({**VALUES, **POOL}, PRESET, namespace=serving.namespace).one("InferencePool")["spec"]
    selector = ",".join(f"{label}={value}" for label, value in pool["selector"]["matchLabels"].items())
    pods = [pod["metadata"]["name"] for pod in objects("pods", selector=selector, namespace=serving.namespace)]
    endpoints = {(pod, port["number"]) for pod in pods for port in pool["targetPorts"]}
    assert endpoints == set(ENDPOINTS)
    with proxied(serving.namespace) as proxy:
        for pod, port in sorted(endpoints):
            before = asked(proxy)
            proxy.complete("pods", pod, port)
            after = asked(proxy)
            assert {replica: after[replica] - before[replica] for replica in after} == {
                replica: int(replica == ENDPOINTS[pod, port]) for replica in after
            }


def test_supervisor_answers_probes_and_the_doctor_finds_nothing(serving: Release) -> None:
    with proxied(serving.namespace) as proxy:
        for pod in ("vllm-0", "vllm-0-1"):
            assert proxy.page("pods", pod, 9256, "health") == ""
    assert all(is_ready(pod) for pod in serving.pods())
    assert verdict(ask(serving.namespace)) == ""


@pytest.mark.skipif(not is_local_cluster(), reason="a process of a pod is killed from this machine")
def test_group_ends_and_comes_back_when_one_replica_s_server_is_killed(serving: Release) -> None:
    before = serving.uids()
    nodeprocesses.send(signal.SIGKILL, *nodeprocesses.named(pod_of(serving, "vllm-0-1"), "VLLM::APIServer_DP3"))
    wait_until("pods that are not ready", lambda: not any(map(is_ready, serving.pods())), 60, state=serving.describe)
    serving.wait_available(START_LIMIT, before)
    said = serving.logs("vllm-0", "vllm-leader")
    assert "an earlier failure: vllm serve ended with exit status" in said


def pod_of(release: Release, name: str) -> Object:
    """Return a pod that is there."""
    found = release.pod(name)
    assert found, release.describe()
    return found


def test_no_request_is_lost_when_the_group_is_deleted(serving: Release) -> None:
    no_request_is_lost(serving, list(ENDPOINTS))
