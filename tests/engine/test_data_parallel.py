"""Data-parallel replicas as endpoints of their own: vLLM over two nodes, with two replicas in each pod."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from engine.reference import PRESET, START_LIMIT
from kit import nodeprocesses
from kit.cluster import Object, background, is_ready, objects
from kit.doctor import ask, verdict
from kit.progress import say, step, wait_until
from kit.release import Release
from kit.render import render
from kit.simulated import is_local_cluster

pytestmark = [pytest.mark.engine, pytest.mark.minutes(7)]
EXPERTS = {"architectures": ["MixtralForCausalLM"], "num_local_experts": 4, "num_experts_per_tok": 2}
"""What makes a mixture of experts of the tiny model, with weights by chance: vLLM refuses these ports for others."""
DRAIN_LIMIT = 150
"""Seconds of a drain: requests that take 25 s when they begin may take several times that beside other tests."""
VALUES: dict[str, Any] = {
    "group": {"gpusPerNode": 2},
    "parallelism": {"data": 4, "dataLoadBalancer": "external"},
    "engine": {"args": {"load-format": "dummy", "hf-overrides": EXPERTS}},
    "shutdown": {"drainSeconds": DRAIN_LIMIT},
}
POOL = {"routing": {"inferencePool": {"endpointPicker": "vllm-epp"}}}
ANSWER_LIMIT = DRAIN_LIMIT + 30
"""Seconds for an answer, while four requests run."""
ANSWERED_FOR = 25
"""Seconds of requests during which the group is deleted."""
LONGER = 10
"""Seconds of a request after the deletion: pods that do not wait for it live for 5 s, those of their preStop hooks."""
TRIED = 16
"""Tokens of a request that tells how fast the group is."""
MOST = 480
"""Tokens of an answer, which fit into the preset's context."""
ENDPOINTS = {("vllm-0", 8080): 0, ("vllm-0", 8081): 1, ("vllm-0-1", 8080): 2, ("vllm-0-1", 8081): 3}
"""Pod and port -> data-parallel replica."""


@dataclass(frozen=True)
class Proxy:
    """The API server's proxy to a namespace."""

    url: str

    def page(self, kind: str, name: str, port: int, path: str, body: Mapping[str, Any] | None = None) -> str:
        """Return what a pod or a Service answers.

        Raises:
            OSError: it does not answer, or with an error.
        """
        data = json.dumps(body).encode() if body else None
        address = f"{self.url}/{kind}/{name}:{port}/proxy/{path}"
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_LIMIT) as answer:
                text: str = answer.read().decode()
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode())
            raise
        return text

    def complete(self, kind: str, name: str, port: int, tokens: int = 2) -> int:
        """Ask for a completion of exactly so many tokens, and return how many came."""
        body = {"model": "tiny", "prompt": "San Francisco is a", "max_tokens": tokens, "ignore_eos": True}
        usage: int = json.loads(self.page(kind, name, port, "v1/completions", body))["usage"]["completion_tokens"]
        return usage

    def asked(self) -> dict[int, int]:
        """Return how many requests each replica has answered, as its own endpoint says."""
        found: dict[int, int] = {}
        for (pod, port), replica in ENDPOINTS.items():
            said = answered(self.page("pods", pod, port, "metrics"))
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


@contextmanager
def proxied(namespace: str) -> Iterator[Proxy]:
    """Open the API server's proxy."""
    with background("kubectl", "proxy", "--port=0", ready=r"127\.0\.0\.1:(\d+)") as started:
        yield Proxy(f"http://127.0.0.1:{started[1]}/api/v1/namespaces/{namespace}")


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
        sent, asked = 0, proxy.asked()
        assert set(asked.values()) == {0}
        while not all(asked.values()) and sent < 40:  # a port has a replica of each pod, of which it gets one by chance
            for port in (8080, 8081):
                assert proxy.complete("services", "vllm-leader", port) == 2
                sent += 1
            asked = proxy.asked()
    say(f"requests by replica: {asked}")
    assert all(asked.values())
    assert sum(asked.values()) == sent
    assert "Succeeded" in serving.test().stdout


def test_every_port_of_the_inference_pool_is_a_replica(serving: Release) -> None:
    pool = render({**VALUES, **POOL}, PRESET, namespace=serving.namespace).one("InferencePool")["spec"]
    selector = ",".join(f"{label}={value}" for label, value in pool["selector"]["matchLabels"].items())
    pods = [pod["metadata"]["name"] for pod in objects("pods", selector=selector, namespace=serving.namespace)]
    endpoints = {(pod, port["number"]) for pod in pods for port in pool["targetPorts"]}
    assert endpoints == set(ENDPOINTS)
    with proxied(serving.namespace) as proxy:
        for pod, port in sorted(endpoints):
            before = proxy.asked()
            proxy.complete("pods", pod, port)
            after = proxy.asked()
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
    with proxied(serving.namespace) as proxy, ThreadPoolExecutor(len(ENDPOINTS)) as pool:

        def answers(tokens: int) -> Iterator[tuple[int, float]]:
            def ask_one(place: tuple[str, int]) -> tuple[int, float]:
                pod, port = place
                return proxy.complete("pods", pod, port, tokens), time.monotonic()

            return pool.map(ask_one, ENDPOINTS)

        begun = time.monotonic()
        assert {got for got, _ in answers(TRIED)} == {TRIED}
        tokens = min(MOST, int(TRIED * ANSWERED_FOR / (time.monotonic() - begun)))
        say(f"requests for {tokens} tokens")
        running = answers(tokens)
        time.sleep(2)  # they have reached the servers
        deleted = time.monotonic()
        serving.uninstall(DRAIN_LIMIT + 60)
        lasted = [(got, round(ended - deleted)) for got, ended in running]
    say(f"tokens, and seconds after the deletion: {lasted}")
    assert {got for got, _ in lasted} == {tokens}
    assert max(seconds for _, seconds in lasted) >= LONGER
