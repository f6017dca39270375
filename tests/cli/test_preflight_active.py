"""``vmn preflight --active`` as a user runs it, against an API server that creates pods; tests/engine has real ones."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from kit.jobcluster import RUNNING, JobCluster, pending
from kit.paths import CHECKOUT
from kit.render import helm_program, render
from unit.preflight_data.cluster import NAMESPACE, HealthyCluster, pod
from vmn.adapters import probe_job
from vmn.cli import main
from vmn.core.cluster.lws import NAME

pytestmark = pytest.mark.slow

PRESET = CHECKOUT / "values/deepseek-r1.yaml"
SAME: dict[str, Any] = {
    "shm": {"total": 32 * 2**30, "free": 32 * 2**30},
    "cache": {"user": 2000, "paths": {"/cache/home": None, "/models/huggingface": None}},
    "gpus": {"count": 8, "by": "nvidia-smi -L", "names": ["NVIDIA H100 80GB HBM3"]},
    "interface": {"to": "10.0.0.1", "interface": "eth0", "interfaces": ["lo", "eth0"], "error": None},
    "dns": {"name": "x-0.x.default", "address": "10.0.0.1", "seconds": 0.1, "error": None},
}
FACTS = [
    {**SAME, "port": {"listen": "10.0.0.1:29501", "error": None, "heard": [1]}},
    {**SAME, "port": {"to": "10.0.0.1:29501", "seconds": 0, "error": None, "back": None, "from": "10.0.0.2:4711"}},
]
KINDS = ["configmaps", "jobs", "networkpolicies", "services"]
Run = Callable[..., Result]


@pytest.fixture
def cluster() -> HealthyCluster:
    """Return a cluster with room for the release."""
    return HealthyCluster()


@pytest.fixture
def fake(cluster: HealthyCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobCluster]:
    """Serve that cluster, with its kubeconfig in KUBECONFIG. The interrupted command below renders the chart itself."""
    plain = render(None, PRESET, namespace=NAMESPACE).documents
    measured = render({"fabric": {"bandwidthCheck": {"enabled": True}}}, PRESET, namespace=NAMESPACE).documents
    monkeypatch.setattr(
        "vmn.adapters.helm.manifests", lambda *given: copy.deepcopy(measured if len(given) > 4 else plain)
    )
    monkeypatch.setattr(probe_job, "PERIOD", 0.02)
    monkeypatch.setattr("vmn.core.preflight.probe.progress.STUCK_SECONDS", 0.2)
    monkeypatch.setenv("PATH", str(helm_program().parent), prepend=":")
    file = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(file))
    with ExitStack() as stack:
        own = JobCluster({**cluster.read, "events": []}, FACTS)
        stack.enter_context(own.serving(file, NAMESPACE))
        yield own


def preflight(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["preflight", "-f", str(PRESET), *arguments])


def actively(*arguments: str) -> tuple[Result, dict[str, dict[str, Any]]]:
    """Return the result, and the results of the probe by check."""
    done = preflight("--active", "-o", "json", *arguments)
    assert done.exit_code in (0, 1), done.output
    found = json.loads(done.stdout)["findings"]
    return done, {item["check"]: item for item in found if item["check"].startswith("active")}


def nothing_left(fake: JobCluster) -> bool:
    return not fake.made and not fake._pods()


def test_healthy_nodes_pass_and_nothing_is_left(fake: JobCluster) -> None:
    done, found = actively()
    assert done.exit_code == 0
    assert {item["status"] for item in found.values()} == {"PASS", "SKIP"}
    assert found["active"]["text"].startswith("2 pods ran on node-0, node-1 for ")
    assert sorted(fake.most) == KINDS
    assert nothing_left(fake)


def test_other_objects_are_owned_by_the_job(fake: JobCluster) -> None:
    actively()
    assert "ownerReferences" not in fake.most["jobs"]["metadata"]
    for plural in ("services", "configmaps", "networkpolicies"):
        (owner,) = fake.most[plural]["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("Job", "uid-of-job")
        assert "blockOwnerDeletion" not in owner


def test_preflight_creates_nothing_without_active(fake: JobCluster) -> None:
    assert preflight().exit_code == 0
    assert fake.most == {}
    assert [line for line in fake.asked if line.startswith(("POST", "PATCH")) and "dryRun=All" not in line] == []


def test_probe_results_are_printed_with_the_others_and_progress_separately(fake: JobCluster) -> None:
    done = preflight("--active")
    assert "PASS  active-port" in done.stdout
    assert "PASS  server" in done.stdout
    assert "active-rdma" not in done.stdout
    assert "active-rdma" in preflight("--active", "--all").stdout
    assert "node-0 ended; node-1 ended" in done.stderr
    assert done.stdout.splitlines()[-1].startswith("0 failed")


def test_what_a_pod_finds_is_a_failure(fake: JobCluster) -> None:
    fake.facts = [FACTS[0], {**FACTS[1], "gpus": {"count": 7, "by": "nvidia-smi -L", "names": []}}]
    done, found = actively()
    assert done.exit_code == 1
    assert found["active-gpus"]["status"] == "FAIL"
    assert found["active-gpus"]["text"].startswith("node-1: nvidia-smi -L finds 7 GPUs")
    assert nothing_left(fake)


def test_pods_that_are_not_scheduled_fail_in_the_scheduler_s_words(fake: JobCluster) -> None:
    fake.statuses = [RUNNING, pending("0/3 nodes are available: 3 node(s) had untolerated taint.")]
    done, found = actively()
    assert done.exit_code == 1
    assert "pod 1 did not start in 0 s: 0/3 nodes are available" in found["active"]["text"]
    assert "pod 1 stuck: 0/3 nodes are available" in done.stderr
    assert nothing_left(fake)


def test_pods_that_quota_forbids_fail_in_the_server_s_words(fake: JobCluster) -> None:
    fake.statuses = []
    fake.events = [{"reason": "FailedCreate", "message": 'Error creating: pods "x" is forbidden: exceeded quota'}]
    _, found = actively()
    assert found["active"]["text"].endswith("0 of 2 pods were created in 0 s: forbidden: exceeded quota")
    assert nothing_left(fake)


def test_pods_that_a_failed_job_deletes_are_not_forgotten(fake: JobCluster) -> None:
    ended = {"terminated": {"exitCode": 128, "reason": "StartError", "message": "python3: not found"}}
    failed = {"phase": "Failed", "containerStatuses": [{"state": ended}]}
    fake.statuses, fake.later = [RUNNING, RUNNING], [None, failed]
    fake.facts = [SAME, {}]
    _, found = actively()
    assert found["active"]["text"] == "node-1 ended: StartError, exit status 128: python3: not found"
    assert found["active-shm"]["status"] == "PASS"
    assert found["active-port"]["text"] == "node-0: no answer"
    assert nothing_left(fake)


def test_expired_time_is_a_failure(fake: JobCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.statuses = [RUNNING, RUNNING]
    fake.facts = [FACTS[0], {}]
    clock = iter(range(0, 10**6, 10))
    fast = SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda _: None)
    monkeypatch.setattr("vmn.adapters.probe_job.time", fast)
    _, found = actively("--active-timeout", "60")
    assert found["active"]["status"] == "FAIL"
    assert "node-1: the pod logged nothing in" in found["active"]["text"]
    assert nothing_left(fake)


def test_user_without_rights_gets_the_rules_and_nothing_is_created(fake: JobCluster) -> None:
    fake.forbidden = {("create", "jobs"), ("delete", "jobs"), ("get", "pods/log")}
    done, found = actively()
    assert done.exit_code == 0
    assert (found["active"]["status"], list(found)) == ("WARN", ["active"])
    assert found["active"]["fix"] == (
        f"Add to a Role in {NAMESPACE}: {{apiGroups: [batch], resources: [jobs], verbs: [create, delete]}}, "
        '{apiGroups: [""], resources: [pods/log], verbs: [get]}.'
    )
    assert fake.most == {}


def test_refused_object_is_a_failure_and_the_others_are_deleted(fake: JobCluster) -> None:
    fake.refused = {"ConfigMap": "admission webhook of others denied the request"}
    _, found = actively()
    assert found["active"]["text"] == "the server refuses the ConfigMap: admission webhook of others denied the request"
    assert sorted(fake.most) == ["jobs", "services"]
    assert nothing_left(fake)


def test_release_that_runs_on_the_nodes_prevents_a_probe(fake: JobCluster, cluster: HealthyCluster) -> None:
    own = [pod(f"node-{index}", "8", NAMESPACE, **{NAME: "vllm"}) for index in range(2)]
    fake.objects = {**fake.objects, "pods": own}
    done, found = actively()
    assert done.exit_code == 0
    assert found["active"]["status"] == "WARN"
    assert "release vllm already has 2 pods" in found["active"]["text"]
    assert "room for only 1 of 2 more" in found["active"]["text"]
    assert fake.most == {}


def test_release_that_runs_next_to_free_nodes_does_not_prevent_a_probe(fake: JobCluster) -> None:
    fake.objects = {**fake.objects, "pods": [pod("node-0", "8", NAMESPACE, **{NAME: "vllm"})]}
    _, found = actively()
    assert found["active"]["status"] == "PASS"


def test_missing_namespace_is_not_created(fake: JobCluster) -> None:
    fake.objects = {**fake.objects, "namespaces": []}
    _, found = actively()
    assert (found["active"]["status"], fake.most) == ("WARN", {})
    assert found["active"]["text"] == f"not run: namespace {NAMESPACE} does not exist yet"


def test_nodes_without_room_are_not_waited_for(fake: JobCluster) -> None:
    fake.objects = {**fake.objects, "pods": [pod(f"node-{index}", "8") for index in range(2)]}
    done, found = actively()
    assert done.exit_code == 1, "the check nodes has failed"
    assert (found["active"]["status"], fake.most) == ("WARN", {})
    assert "room for 1 of the 2 pods of a group" in found["active"]["text"]


def test_object_that_can_not_be_deleted_is_reported_with_the_command(
    fake: JobCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_job, "REMOVAL_SECONDS", 0.2)
    fake.linger = 10**6
    done, _ = actively()
    assert "some objects remain (vmn-preflight-" in done.stderr
    assert (
        f"kubectl -n {NAMESPACE} delete job,service,configmap,networkpolicy -l app.kubernetes.io/instance="
        in done.stderr
    )


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_nothing(fake: JobCluster, sign: signal.Signals) -> None:
    fake.statuses = [RUNNING, RUNNING]
    vmn = [sys.executable, "-c", "from vmn.cli import main; main()"]
    command = [
        "env",
        "--default-signal=INT",
        *vmn,
        "preflight",
        "-f",
        str(PRESET),
        "--active",
    ]  # a shell's & ignores it
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "tools")}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if "node-0 runs" in line:
                break
        assert fake.job
        process.send_signal(sign)
        time.sleep(0.1)
        process.send_signal(sign)  # an impatient second one
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1, said
    assert nothing_left(fake)


def test_error_on_the_way_leaves_nothing(fake: JobCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "broken")

    monkeypatch.setattr(probe_job.Watch, "until", broken)
    assert preflight("--active").exit_code == 2
    assert sorted(fake.most) == KINDS
    assert nothing_left(fake)


def test_dry_run_prints_the_objects_and_creates_nothing(fake: JobCluster) -> None:
    done = preflight("--active", "--dry-run", "--active-timeout", "60")
    assert done.exit_code == 0
    objects = list(yaml.safe_load_all(done.stdout))
    assert [item["kind"] for item in objects] == ["Job", "Service", "ConfigMap", "NetworkPolicy"]
    assert objects[0]["spec"]["activeDeadlineSeconds"] == 90
    assert {item["metadata"]["namespace"] for item in objects} == {NAMESPACE}
    assert (fake.asked, fake.most) == ([], {})


def test_names_differ_from_run_to_run(fake: JobCluster) -> None:
    names = {next(yaml.safe_load_all(preflight("--active", "--dry-run").stdout))["metadata"]["name"] for _ in range(2)}
    assert len(names) == 2


def test_bandwidth_is_measured_when_it_is_asked_for(fake: JobCluster) -> None:
    well = {"summary": "16 GPUs on 2 nodes: bus bandwidth 150 GB/s", "problems": []}
    slow = {"kind": "bandwidth", "node": "node-1", "text": "sends to node-0 at 3 GB/s", "fix": "Check.", "fails": True}
    kinds = {kind: well for kind in ("bandwidth", "transport", "gpu-health")}
    fake.facts = [{**facts, **kinds} for facts in FACTS]
    done, found = actively("--bandwidth")
    assert done.exit_code == 0
    assert found["active-bandwidth"] == {
        **{"check": "active-bandwidth", "status": "PASS", "fix": None},
        "text": "16 GPUs on 2 nodes: bus bandwidth 150 GB/s",
    }
    fake.facts = [fake.facts[0], {**fake.facts[1], "bandwidth": {**well, "problems": [slow]}}]
    done, found = actively("--bandwidth")
    assert (done.exit_code, found["active-bandwidth"]["text"]) == (1, "node-1: sends to node-0 at 3 GB/s")
    assert nothing_left(fake)


def test_bandwidth_is_skipped_when_it_is_not_asked_for(fake: JobCluster) -> None:
    _, found = actively()
    assert (found["active-bandwidth"]["status"], found["active-bandwidth"]["text"]) == (
        "SKIP",
        "--bandwidth was not given",
    )


def test_floor_reaches_the_chart(monkeypatch: pytest.MonkeyPatch, fake: JobCluster) -> None:
    given: list[Any] = []

    def manifests(*arguments: Any) -> Any:
        given.append(arguments[4:])
        return render({"fabric": {"bandwidthCheck": {"enabled": True}}}, PRESET, namespace=NAMESPACE).documents

    monkeypatch.setattr("vmn.adapters.helm.manifests", manifests)
    assert preflight("--active", "--dry-run", "--bandwidth", "--bandwidth-floor", "42.5").exit_code == 0
    key = "fabric.bandwidthCheck"
    assert given == [(), (["--set", f"{key}.enabled=true", "--set-json", f"{key}.floorGBps=42.5"],)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--dry-run"],
        ["--active", "--active-timeout", "5"],
        ["--bandwidth"],
        ["--active", "--bandwidth-floor", "3"],
        ["--active", "--bandwidth", "--bandwidth-floor", "0"],
    ],
)
def test_options_that_make_no_sense_end_with_2(fake: JobCluster, arguments: list[str]) -> None:
    assert preflight(*arguments).exit_code == 2
