"""vLLM over pods of real nodes: every layout answers the reference's request."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.benchmarking import bench, interrupted, left
from engine.proxy import DRAIN_LIMIT, no_request_is_lost
from engine.reference import ANSWER, PRESET, START_LIMIT, USAGE, ask, curl
from kit import nodeprocesses
from kit.paths import CHECKOUT
from kit.progress import say, step
from kit.release import Release
from kit.simulated import is_local_cluster

pytestmark = [pytest.mark.engine, pytest.mark.minutes(9)]
RANK = re.compile(r"world_size=(\d+) rank=(\d+) local_rank=")
WORKER = re.compile(r"\(Worker_(\w+) pid=")


@dataclass(frozen=True)
class Layout:
    """Values, and what vLLM must then call its workers in each pod; one that is alone has no name.

    Attributes:
        rendezvous: the flag by which pods find each other, none when there is one.
        copies: engines that each have a world of their own.
    """

    name: str
    values: Mapping[str, Any]
    workers: Mapping[str, set[str]]
    rendezvous: str = "--nnodes"
    copies: int = 1


LAYOUTS = [
    Layout("pipeline-2", {}, {"vllm-0": {"PP0"}, "vllm-0-1": {"PP1"}}),
    Layout("tensor-2", {"parallelism": {"tensor": 2, "pipeline": 1}}, {"vllm-0": {"TP0"}, "vllm-0-1": {"TP1"}}),
    Layout(
        "tensor-2-pipeline-2",
        {"group": {"gpusPerNode": 2}},
        {"vllm-0": {"PP0_TP0", "PP0_TP1"}, "vllm-0-1": {"PP1_TP0", "PP1_TP1"}},
    ),
    Layout(
        "data-2",
        {"parallelism": {"data": 2}, "shutdown": {"drainSeconds": DRAIN_LIMIT}},
        {"vllm-0": set(), "vllm-0-1": set()},
        rendezvous="--data-parallel-address",
        copies=2,
    ),
    Layout("one-node", {"group": {"nodes": 1}}, {"vllm-0": set()}, rendezvous=""),
]


@dataclass(frozen=True)
class Serving:
    """A release that serves."""

    release: Release
    layout: Layout

    def logs(self) -> dict[str, str]:
        """Return the log of vLLM's container of each pod."""
        pods = {pod["metadata"]["name"]: pod["spec"]["containers"][0]["name"] for pod in self.release.pods()}
        return {pod: self.release.logs(pod, container) for pod, container in pods.items()}

    def completions(self) -> int:
        """Return how many requests for a completion the leader says to have answered."""
        return self.logs()["vllm-0"].count('"POST /v1/completions HTTP/1.1" 200')


@pytest.fixture(scope="module", params=LAYOUTS, ids=lambda layout: layout.name)
def serving(request: pytest.FixtureRequest, namespace: str) -> Serving:
    """Install the tiny model in a layout as release ``vllm``, and wait until it serves."""
    layout: Layout = request.param
    release = Release(namespace)
    request.addfinalizer(release.uninstall)  # also of one that does not serve, as the next layout has the same name
    say(f"{layout.name}: helm install")
    release.install(PRESET, values=layout.values)
    release.wait_available(START_LIMIT)
    return Serving(release, layout)


def test_service_answers_the_reference_request_to_the_openai_client(serving: Serving) -> None:
    assert ask(serving.release.namespace) == (ANSWER, USAGE)


def test_port_forward_and_curl_of_the_reference_answer(serving: Serving) -> None:
    answer = curl(serving.release.namespace)
    assert answer["choices"][0]["text"] == ANSWER
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == USAGE


def test_logs_command_of_the_reference_shows_that_the_server_started(serving: Serving) -> None:
    log = serving.release.logs("vllm-0", "vllm-leader")
    assert "Starting vLLM server on http://0.0.0.0:8080" in log
    assert "Application startup complete." in log


def test_every_pod_runs_its_ranks_and_no_more(serving: Serving) -> None:
    logs = serving.logs()
    assert {pod: set(WORKER.findall(log)) for pod, log in logs.items()} == serving.layout.workers
    total = sum(len(names) or 1 for names in serving.layout.workers.values()) // serving.layout.copies
    ranks = [(int(size), int(rank)) for log in logs.values() for size, rank in RANK.findall(log)]
    assert sorted(ranks) == [(total, rank) for rank in range(total) for _ in range(serving.layout.copies)]


def test_pods_find_each_other_by_the_layout_s_flag(serving: Serving) -> None:
    log = serving.release.logs("vllm-0", "vllm-leader")
    command = re.search(r"exec vllm serve (.*)", log)
    assert command
    flags = {flag for flag in ("--nnodes", "--data-parallel-address") if flag in command[1]}
    assert flags == ({serving.layout.rendezvous} if serving.layout.rendezvous else set())


def test_helm_test_asks_the_server(serving: Serving) -> None:
    before = serving.completions()
    assert "Succeeded" in serving.release.test().stdout
    assert serving.completions() == before + 1


def test_bench_measures_beside_the_plan_and_leaves_nothing(serving: Serving, tmp_path: Path) -> None:
    if serving.layout.name != "one-node":
        pytest.skip("one layout is enough: the Job only knows the Service")
    report, picture = tmp_path / "report.json", tmp_path / "report.svg"
    namespace, shapes = serving.release.namespace, CHECKOUT / "tools/localcluster/engine/tiny/config.json"
    options = ("--gpu", "l4", "--config", shapes, "--at-least", "0.8", "--write", report, "--plot", picture)
    with step("vmn bench"):
        done = bench(namespace, *options)
    assert "measurement 1 of 1: 4 requests of 32 + 8 tokens, 2 at once" in done.stderr, done.stderr
    assert done.returncode == 1, "a CPU is slower than the plan of a GPU"
    assert "of the predicted tokens per second, less than 80%" in done.stderr
    (point,) = json.loads(report.read_text(encoding="utf-8"))["points"]
    assert point["result"]["completed"] == 4
    assert point["result"]["total_output_tokens"] == 32
    assert 0 < point["share_of_prediction"] < 0.8
    assert point["counters"]["prefix_cache_queries_total"] > 0
    assert "<svg" in picture.read_text(encoding="utf-8")
    assert left(namespace) == ""


def test_bench_that_is_interrupted_leaves_nothing(serving: Serving) -> None:
    if serving.layout.name != "one-node":
        pytest.skip("one layout is enough: the Job only knows the Service")
    with step("vmn bench, interrupted"):
        status, said = interrupted(serving.release.namespace)
    assert status == 1, said
    assert "removing Job vmn-bench-" in said
    assert left(serving.release.namespace) == ""


def test_replicas_behind_one_server_end_when_those_of_another_pod_have_ended(serving: Serving) -> None:
    if serving.layout.name != "data-2" or not is_local_cluster():
        pytest.skip("elsewhere, the connection to the master port tells; a process is killed from this machine")
    before = serving.release.uids()
    worker = serving.release.pod("vllm-0-1")
    assert worker
    with step("kill the worker's engine"):
        nodeprocesses.send(signal.SIGKILL, *nodeprocesses.named(worker, "VLLM::EngineCore"))
    serving.release.wait_available(START_LIMIT, before)
    assert "error: a pod of this group has closed its connections: its vLLM has ended" in serving.logs()["vllm-0"]


def test_no_request_is_lost_when_replicas_behind_one_server_are_deleted(serving: Serving) -> None:
    if serving.layout.name != "data-2":
        pytest.skip("elsewhere, vLLM finishes requests by itself")
    no_request_is_lost(serving.release, [("vllm-0", 8080)] * 4)
