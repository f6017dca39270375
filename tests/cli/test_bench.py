"""``vmn bench`` as a user runs it, against an API server that runs the Job's pod; tests/engine has real ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kit.jobcluster import RUNNING, JobCluster
from kit.paths import CHECKOUT
from kit.render import render
from unit.preflight_data.cluster import NAMESPACE, node
from unit.test_bench import RESULT
from vmn.adapters import probe_job
from vmn.cli import main
from vmn.core.cluster.lws import GROUP, NAME, WORKER

POINTS = ("--concurrency", "1", "--concurrency", "8")


class BenchCluster(JobCluster):
    """A cluster whose Job prints what a benchmark prints.

    Attributes:
        said: lines of the pod's log.
    """

    def __init__(self, objects: dict[str, Any]) -> None:
        """Serve a release, and let the pod print two results."""
        super().__init__(objects, [{}])
        self.said = [
            f"VMN {json.dumps({'index': index, **content})}"
            for index in range(2)
            for content in ({"begins": True}, {"result": {**RESULT, "output_throughput": 150.0}, "counters": {}})
        ]

    def answer(self, address: str) -> tuple[int, str]:
        """Return status and body; the log of the Job's pod is what it says."""
        if "/vmn-bench-" in address and "/log" in address:
            return 200, "\n".join(self.said) + "\n"
        return super().answer(address)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BenchCluster]:
    """Serve a release of DeepSeek-R1 on two nodes, with its kubeconfig in KUBECONFIG."""
    rendered = render(None, CHECKOUT / "values/deepseek-r1.yaml", namespace=NAMESPACE).as_installed(NAMESPACE)
    lws = rendered.one("LeaderWorkerSet")
    leader = {
        "metadata": {"name": "vllm-0", "labels": {NAME: "vllm", GROUP: "0", WORKER: "0"}},
        "spec": {**lws["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"], "nodeName": "node-0"},
        "status": {"podIP": "10.0.0.1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    objects = {
        "leaderworkersets": [lws],
        "services": rendered.all("Service"),
        "pods": [leader],
        "nodes": [node("node-0")],
    }
    monkeypatch.setattr(probe_job, "PERIOD", 0.02)
    file = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(file))
    own = BenchCluster({**objects, "events": []})
    with own.serving(file, NAMESPACE):
        yield own


def bench(*options: str | Path) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, options)])


def test_table_has_measurements_beside_the_plan(fake: BenchCluster) -> None:
    done = bench(*POINTS)
    assert done.exit_code == 0, done.output
    assert "TP8 PP2" in done.stdout
    assert "1,024 prompt tokens and 256 answer tokens per request" in done.stdout
    assert "predicted" in done.stdout
    assert "measurement 2 of 2: 32 requests of 1024 + 256 tokens, 8 at once" in done.stderr
    assert not fake.made
    assert sorted(fake.most) == ["jobs"]


def test_report_can_be_compared_and_calibrates_a_plan(fake: BenchCluster, tmp_path: Path) -> None:
    report, picture = tmp_path / "a.json", tmp_path / "a.svg"
    assert bench(*POINTS, "--write", report, "--plot", picture).exit_code == 0
    assert "<svg" in picture.read_text()
    content = json.loads(report.read_text())
    assert [entry["version"] for entry in content["reports"]] == ["0.2.1", "0.2.1"]
    same = bench("--compare", report, report)
    assert same.exit_code == 0
    assert "faster" not in same.stdout
    slower = tmp_path / "b.json"
    for entry in content["points"]:
        entry["result"]["output_throughput"] /= 2
    slower.write_text(json.dumps(content))
    assert bench("--compare", report, slower).exit_code == 1
    content["calls"] = [{**RESULT, "max_concurrency": count} for count in (1, 2, 4, 8)]
    report.write_text(json.dumps(content))
    asked = ["plan", "deepseek-ai/DeepSeek-R1", "--gpu", "h100", "--nodes", "2", "--prompt-tokens", "64"]
    more = ["--answer-tokens", "50", "--concurrency", "4", "--calibrate-speed", str(report)]
    assert "Calibrated: " in CliRunner().invoke(main, [*asked, *more]).stdout


def test_rates_are_measured_beside_the_plan_and_left_out_of_calibrations(fake: BenchCluster, tmp_path: Path) -> None:
    report, picture = tmp_path / "a.json", tmp_path / "a.svg"
    done = bench("--rate", "0.5", "--rate", "100000", "--write", report, "--plot", picture)
    assert done.exit_code == 0, done.output
    header, first, second = done.stdout.splitlines()[3:6]
    assert header.split()[:3] == ["per", "second", "requests"]
    assert first.split()[:2] == ["0.5", "30"]
    assert "grows" in second
    assert "measurement 1 of 2: 30 requests of 1024 + 256 tokens, 0.5 per second" in done.stderr
    assert ">0.5/s</text>" in picture.read_text()
    content = json.loads(report.read_text())
    assert [entry["predicted"]["workload"]["rate"] for entry in content["points"]] == [0.5, 100000]
    assert content["calls"] == []
    loads = [entry["scenario"]["load"]["standardized"] for entry in content["reports"]]
    assert [(load["rate_qps"], load["concurrency"]) for load in loads] == [(0.5, None), (100000, None)]
    assert bench("--compare", report, report).exit_code == 0
    settings = fake.most["jobs"]["spec"]["template"]["spec"]["containers"][0]["env"]
    asked = json.loads(next(item["value"] for item in settings if item["name"] == "VMN_BENCH"))["points"]
    assert [(point["rate"], point["concurrency"]) for point in asked] == [(0.5, None), (100000.0, None)]


def test_shared_beginning_is_measured_beside_the_plan(fake: BenchCluster, tmp_path: Path) -> None:
    report = tmp_path / "a.json"
    hits = {"prefix_cache_queries_total": 1000.0, "prefix_cache_hits_total": 400.0}
    fake.said = [line.replace('"counters": {}', f'"counters": {json.dumps(hits)}') for line in fake.said]
    done = bench(*POINTS, "--prefix-tokens", "512", "--write", report)
    assert done.exit_code == 0, done.output
    assert "answer tokens per request; all prompts share the first 512 tokens" in done.stdout
    header, row = done.stdout.splitlines()[3:5]
    assert header.split()[-2:] == ["cached", "predicted"]
    assert row.split()[-2] == "40%"
    assert "1 at once: 40% of the prompts' tokens were in the prefix cache, not 5" in done.stdout
    content = json.loads(report.read_text())
    assert content["points"][0]["cached_share"]["measured"] == 0.4
    assert content["calls"] == []
    prefix = content["reports"][0]["scenario"]["load"]["standardized"]["prefix"]
    assert prefix["prefix_len"] == {"distribution": "fixed", "value": 512}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rate", "2", "--concurrency", "4", "--concurrency", "8"), "there can be only one (got 4, 8)"),
        (("--rate", "0"), "0 is not in the range x>0"),
        (("--rate", "inf"), "inf is not a finite number"),
        (("--prefix-tokens", "1024"), "must leave some of the 1024 prompt tokens"),
        (("--prefix-tokens", "64", "--prompt-tokens", "64"), "must leave some of the 64 prompt tokens"),
    ],
)
def test_requests_that_make_no_sense_are_refused(options: tuple[str, ...], words: str) -> None:
    done = bench(*options)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())


@pytest.mark.parametrize(("floor", "status"), [("0.001", 0), ("100", 1)])
def test_floor_decides_the_exit_status(fake: BenchCluster, floor: str, status: int) -> None:
    done = bench(*POINTS, "--at-least", floor)
    assert done.exit_code == status
    assert ("of the predicted tokens per second, less than" in done.stderr) == bool(status)


def test_floor_needs_a_prediction(fake: BenchCluster) -> None:
    fake.objects = {**fake.objects, "nodes": []}
    assert bench(*POINTS, "--at-least", "0.8").exit_code == 3
    assert fake.most == {}
    done = bench(*POINTS)
    assert done.exit_code == 0
    assert "Not predicted: the nodes have no label with their kind of GPU" in done.stdout


def test_error_of_vllm_is_shown_and_nothing_is_left(fake: BenchCluster) -> None:
    fake.said = ['VMN {"index": 0, "begins": true}', 'VMN {"index": 0, "error": "404 Not Found", "code": 1}']
    done = bench(*POINTS)
    assert done.exit_code == 1
    assert "404 Not Found" in done.stderr
    assert not fake.made


def test_job_that_may_not_be_created_is_explained(fake: BenchCluster) -> None:
    fake.forbidden = {("create", "jobs")}
    done = bench(*POINTS)
    assert done.exit_code == 1
    assert "resources: [jobs], verbs: [create]" in done.stderr
    assert fake.most == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [({"leaderworkersets": []}, "Release vllm does not exist"), ({"pods": []}, "No leader of vllm is ready")],
)
def test_release_that_does_not_serve_is_not_measured(fake: BenchCluster, change: dict[str, Any], words: str) -> None:
    fake.objects = {**fake.objects, **change}
    done = bench()
    assert done.exit_code == 3
    assert words in done.stderr


def test_files_that_are_no_reports_are_not_compared(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{}")
    assert bench("--compare", file, file).exit_code == 2


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_removes_the_job(fake: BenchCluster, sign: signal.Signals) -> None:
    fake.statuses, fake.said = [RUNNING], fake.said[:1]
    vmn = [sys.executable, "-c", "from vmn.cli import main; main()", "bench"]
    command = ["env", "--default-signal=INT", *vmn, *POINTS]  # a shell's & ignores it
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "tools")}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if "measurement 1 of 2" in line:
                break
        assert fake.job
        process.send_signal(sign)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "removing Job vmn-bench-" in said
    assert not fake.made


def test_pod_of_the_job_has_no_rights_and_no_gpu(fake: BenchCluster) -> None:
    assert bench(*POINTS).exit_code == 0
    spec = fake.most["jobs"]["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec
    assert "nvidia.com/gpu" not in json.dumps(spec["containers"][0]["resources"])
