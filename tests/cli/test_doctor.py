"""``vmn doctor`` as a user runs it, against an API server with a release; tests/cluster has real ones."""

from __future__ import annotations

import json
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kit.fakecluster import FakeCluster
from unit.doctor_data.world import HERE, NOW, World, stamp
from vmn.adapters.engine_metrics import PULSE_SECONDS
from vmn.app.doctor import LEASE_SECONDS, SCALE_SECONDS
from vmn.cli import main

pytestmark = pytest.mark.slow  # each look waits for a second between two readings of counters
Run = Callable[..., Result]
SECRETS = {
    "token": "hf_abcdefghijklmnopqrstuvwxyz",
    "bearer": "c2VjcmV0LWJlYXJlcg",
    "key": "vllm-api-key-0123456789",
    "password": "correct-horse-battery",
    "annotation": "value-in-last-applied",
    "aws": "AKIAABCDEFGHIJKLMNOP",
    "flag": "flag-value-0123456789",
}
"""Secrets that the tests hide in different places."""


def ill() -> World:
    """Return a release with secrets, whose worker has no GPU and whose leader waits."""
    world = World()
    world.down("vllm-0")
    world.log(
        "vllm-0",
        f"vllm-multinode: exec vllm serve tiny --api-key {SECRETS['flag']} --max-num-batched-tokens 2048",
        f"DEBUG headers: {{'Authorization': 'Bearer {SECRETS['bearer']}'}}",
        f"using token {SECRETS['token']} of the environment; AWS {SECRETS['aws']}",
        f"HF_TOKEN={SECRETS['password']}",
        "torch.distributed.DistStoreError: Timed out after 1801 seconds waiting for clients. 1/2 clients joined.",
    )
    world.pending("vllm-0-1", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", ago=1900)
    pod = world.pod("vllm-0")
    pod["spec"]["containers"][0].update(
        env=[
            {"name": "VLLM_API_KEY", "value": SECRETS["key"]},
            {"name": "HF_HOME", "value": "/cache/home"},
            {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-secret", "key": "hf_api_token"}}},
        ],
        args=["tiny", "--api-key", SECRETS["flag"], "--max-model-len", "512"],
    )
    applied = json.dumps({"spec": {"env": SECRETS["annotation"]}})
    pod["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": applied}
    world.event("Pod", "vllm-0", "Pulled", f"from https://me:{SECRETS['password']}@registry.example/vllm")
    return world


def cluster(world: World) -> FakeCluster:
    """Return the API server of a release."""
    texts = {f"{log.pod}/{log.container}{'/previous' * log.previous}": log.raw for log in world.logs}
    return FakeCluster({**world.objects, "configmaps": [], "persistentvolumeclaims": []}, texts)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[World], tuple[FakeCluster, Run]]]:
    """Return a function that serves a release, and returns the server and a function that runs the command."""
    monkeypatch.setattr("vmn.app.doctor.time", lambda: NOW)
    with ExitStack() as stack:

        def serve(world: World) -> tuple[FakeCluster, Run]:
            fake = cluster(world)
            file = tmp_path / "kubeconfig"
            stack.enter_context(fake.serving(file, HERE))
            monkeypatch.setenv("KUBECONFIG", str(file))
            return fake, lambda *arguments: CliRunner().invoke(main, ["doctor", *arguments])

        yield serve


Served = Callable[[World], tuple[FakeCluster, Run]]


def test_doctor_says_the_verdict_and_ends_with_1(served: Served) -> None:
    _, run = served(ill())
    done = run()
    assert done.exit_code == 1, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "Group 0 does not serve."
    assert lines[1].startswith("cause     vllm-0-1 (worker) failed first, at ")
    assert "fix:" in done.stdout
    assert "docs/failures.md, section 4" in done.stdout
    assert lines[-1] == f"release vllm in namespace {HERE}: gpu-insufficient; 0 of 1 group serving"
    assert max(map(len, lines)) <= 118


def test_doctor_is_json_when_asked_for(served: Served) -> None:
    _, run = served(ill())
    done = run("vllm", "--namespace", HERE, "-o", "json")
    content = json.loads(done.stdout)
    assert (content["state"], content["failed"]) == ("failed", True)
    verdict = content["findings"][0]
    assert (verdict["id"], verdict["group"], verdict["pod"], verdict["severity"]) == (
        "gpu-insufficient",
        0,
        "vllm-0-1",
        "cause",
    )
    assert verdict["evidence"][0]["from"] == "state of vllm-0-1"
    assert "Insufficient nvidia.com/gpu" in verdict["evidence"][0]["line"]
    assert {"text", "fix", "source"} <= set(verdict)
    assert [item["severity"] for item in content["findings"]] == ["cause", "symptom"]


def test_healthy_release_says_so_and_ends_with_0(served: Served) -> None:
    _, run = served(World(groups=2))
    done = run()
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"release vllm in namespace {HERE}: healthy, 2 groups serve"


def test_starting_release_ends_with_0_and_says_how_far_it_is(served: Served) -> None:
    world = World()
    world.down("vllm-0")
    world.log("vllm-0", "Loading safetensors checkpoint shards:  10% Completed", start=2)
    _, run = served(world)
    done = run()
    assert done.exit_code == 0, done.output
    assert "starting, nothing wrong so far" in done.stdout


def test_missing_release_has_a_clear_message(served: Served) -> None:
    _, run = served(World())
    done = run("other")
    assert done.exit_code == 3
    assert f"Namespace {HERE} has no release other. Its LeaderWorkerSets are vllm." in done.stderr


def test_release_is_found_by_its_label_when_its_leaderworkerset_has_another_name(served: Served) -> None:
    world = World()
    world.objects["leaderworkersets"][0]["metadata"]["labels"] = {"app.kubernetes.io/instance": "mine"}
    _, run = served(world)
    assert "release vllm in namespace" in run("mine").stdout


def test_previous_log_is_read_when_a_container_was_restarted(served: Served) -> None:
    world = World()
    world.main("vllm-0-1").update(restartCount=1)
    world.down("vllm-0-1")
    world.log("vllm-0-1", "RuntimeError: Cannot find any model weights with `/models/R1`", previous=True)
    fake, run = served(world)
    assert json.loads(run("-o", "json").stdout)["findings"][0]["id"] == "weights-none"
    assert any("previous=true" in address for address in fake.asked)


def test_requests_that_hang_are_seen_in_the_leader_s_counters(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmn.adapters.engine_metrics.PULSE_SECONDS", 0.05)
    fake, run = served(World())
    counters = 'vllm:num_requests_running{engine="0"} 2.0\nvllm:generation_tokens_total{engine="0"} 77.0\n'
    fake.texts = {**fake.texts, "vllm-0:8080/metrics": counters}
    done = run("-o", "json")
    assert json.loads(done.stdout)["findings"][0]["id"] == "requests-hang"


def test_requests_that_hang_are_seen_in_the_counters_of_every_server(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmn.adapters.engine_metrics.PULSE_SECONDS", 0.05)
    world = World()
    ports = [
        {"name": name, "containerPort": port} for name, port in (("http", 8080), ("http-1", 8081), ("health", 9256))
    ]
    for name in ("vllm-0", "vllm-0-1"):
        world.pod(name)["spec"]["containers"][0]["ports"] = ports
    fake, run = served(world)
    idle = 'vllm:num_requests_running{engine="0"} 0.0\nvllm:generation_tokens_total{engine="0"} 77.0\n'
    hangs = 'vllm:num_requests_running{engine="3"} 2.0\nvllm:generation_tokens_total{engine="3"} 9.0\n'
    own = {f"{pod}:{port}/metrics": idle for pod in ("vllm-0", "vllm-0-1") for port in (8080, 8081)}
    fake.texts = {**fake.texts, **own, "vllm-0-1:8081/metrics": hangs}
    (found,) = json.loads(run("-o", "json").stdout)["findings"]
    assert (found["id"], found["pod"]) == ("requests-hang", "vllm-0-1")


@pytest.mark.parametrize(("answers", "verdict"), [(False, "server-hangs"), (True, "started-not-ready")])
def test_server_of_a_leader_that_is_not_ready_is_asked(
    served: Served, monkeypatch: pytest.MonkeyPatch, answers: bool, verdict: str
) -> None:
    monkeypatch.setattr("vmn.adapters.engine_metrics.LOG_TIMEOUT", 0.3)
    world = World()
    world.main("vllm-0").update(started=True)
    world.down("vllm-0", ago=45)
    fake, run = served(world)
    answer = fake.answer

    def late(address: str) -> tuple[int, str]:
        if "proxy/health" in address and not answers:
            time.sleep(1)
        return answer(address)

    monkeypatch.setattr(fake, "answer", late)
    assert json.loads(run("-o", "json").stdout)["findings"][0]["id"] == verdict


@pytest.mark.parametrize(("made", "verdicts"), [(8, []), (30, ["pods-not-made"])])
def test_pod_counts_as_missing_at_the_time_of_reading(
    served: Served, monkeypatch: pytest.MonkeyPatch, made: float, verdicts: list[str]
) -> None:
    world = World(groups=2)
    world.remove("vllm-0-1")
    world.pod("vllm-0")["metadata"]["creationTimestamp"] = stamp(made)
    world.down("vllm-0", ago=made)
    fake, run = served(world)
    clock = [NOW]

    def count(tokens: int) -> None:
        counters = f"vllm:num_requests_running{{}} 2.0\nvllm:generation_tokens_total{{}} {tokens}.0\n"
        fake.texts = {**fake.texts, "vllm-1:8080/metrics": counters}

    def wait(seconds: float) -> None:
        clock[0] += seconds
        count(99)

    count(77)
    monkeypatch.setattr("vmn.app.doctor.time", lambda: clock[0])
    monkeypatch.setattr("vmn.adapters.engine_metrics.sleep", wait)
    assert [item["id"] for item in json.loads(run("-o", "json").stdout)["findings"]] == verdicts
    assert clock[0] == NOW + PULSE_SECONDS


@pytest.mark.parametrize("renewed", [True, False])
def test_old_lease_counts_when_it_is_not_renewed(
    served: Served, monkeypatch: pytest.MonkeyPatch, renewed: bool
) -> None:
    world = World()
    lease = world.objects["leases"][1]["spec"]
    lease["renewTime"] = stamp(35)
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        lease["renewTime"] = stamp(0 if renewed else 35)

    monkeypatch.setattr("vmn.app.doctor.sleep", wait)
    _, run = served(world)
    found = json.loads(run("-o", "json").stdout)["findings"]
    assert waited == [LEASE_SECONDS]
    assert [item["id"] for item in found] == ([] if renewed else ["node-lost"])


@pytest.mark.parametrize("passed_on", [True, False])
def test_group_that_the_controller_has_not_requested_is_read_again(
    served: Served, monkeypatch: pytest.MonkeyPatch, passed_on: bool
) -> None:
    world = World(groups=2)
    pods = [world.pod("vllm-1"), world.pod("vllm-1-1")]
    world.remove("vllm-1", "vllm-1-1")
    leaders = world.objects["statefulsets"][0]["spec"]
    leaders["replicas"] = 1
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if passed_on:
            leaders["replicas"] = 2
            world.objects["pods"].extend(pods)

    monkeypatch.setattr("vmn.app.doctor.sleep", wait)
    _, run = served(world)
    found = json.loads(run("-o", "json").stdout)["findings"]
    assert waited == [SCALE_SECONDS]
    assert [item["id"] for item in found] == ([] if passed_on else ["pods-not-made"])


def test_missing_rights_are_reported_with_the_rule_that_gives_them(served: Served) -> None:
    fake, run = served(World())
    fake.denied = {"nodes"}
    done = run()
    assert done.exit_code == 0
    assert "Not checked: you may not read nodes. Add to a ClusterRole" in done.stdout


def test_doctor_only_reads_and_reads_no_secret(served: Served) -> None:
    fake, run = served(ill())
    run()
    assert [address for address in fake.asked if "/secrets" in address] == []


def test_bundle_has_everything_and_no_secret(served: Served, tmp_path: Path) -> None:
    _, run = served(ill())
    file = tmp_path / "bundle.tgz"
    assert run("--support-bundle", str(file)).exit_code == 1
    with tarfile.open(file) as archive:
        members = {name: archive.extractfile(name) for name in archive.getnames()}
        texts = {name: member.read().decode() for name, member in members.items() if member}
    names = {name.removeprefix("vllm/") for name in texts}
    assert names >= {"pods.yaml", "events.yaml", "leaderworkersets.yaml", "nodes.yaml", "findings.json", "findings.txt"}
    assert "logs/vllm-0.vllm-leader.log" in names
    everything = "\n".join(texts.values())
    assert [name for name, secret in SECRETS.items() if secret in everything] == []
    assert "DistStoreError: Timed out after 1801 seconds" in everything
    assert "--max-num-batched-tokens 2048" in everything
    assert "/cache/home" in everything
    assert json.loads(texts["vllm/findings.json"])["findings"][0]["id"] == "gpu-insufficient"


def test_bundle_that_can_not_be_written_is_an_error(served: Served) -> None:
    _, run = served(World())
    assert run("--support-bundle", "/nonexistent/bundle.tgz").exit_code == 2


def test_doctor_ends_with_3_when_no_cluster_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    done = CliRunner().invoke(main, ["doctor"])
    assert (done.exit_code, "No cluster is configured" in done.stderr) == (3, True)


def test_doctor_ends_with_3_when_the_cluster_does_not_answer(served: Served, tmp_path: Path) -> None:
    _, run = served(World())
    file = tmp_path / "kubeconfig"
    file.write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9", file.read_text()))
    done = run()
    assert done.exit_code == 3
    assert "http://127.0.0.1:9 does not answer" in done.stderr


def test_doctor_ends_with_2_when_an_option_is_unknown() -> None:
    assert CliRunner().invoke(main, ["doctor", "--unknown"]).exit_code == 2
