"""``vmn preflight --active`` from the rendered chart to the results, with processes of this machine as pods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit import probe_pod
from kit.paths import CHECKOUT
from kit.render import render
from kit.scripts import free_port
from vmn.adapters.probe_job import program
from vmn.app.preflight import expect
from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.preflight.probe.job import probe_run
from vmn.core.preflight.probe.judge import ProbeReport, results
from vmn.core.preflight.probe.progress import Phase, PodProgress
from vmn.core.preflight.result import CheckResult
from vmn.core.values.yaml import merged

pytestmark = pytest.mark.slow

HOST = "127.0.0.1"
OF_THE_MACHINE = {"active-interface", "active-shm"}
"""Results that depend on the machine: all pods are on the loopback interface, and /dev/shm has any size."""
HEADER = b"\2\0\0\0\0\0\0\0{}"
"""A safetensors file without tensors."""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Write a checkpoint ``tiny`` into a directory."""
    checkpoint = tmp_path / "models" / "tiny"
    checkpoint.mkdir(parents=True)
    (checkpoint / "config.json").write_text("{}")
    (checkpoint / "model.safetensors").write_bytes(HEADER)
    return checkpoint.parent


def values(models: Path) -> dict[str, Any]:
    """Return values of the tiny model for this machine, over those of the preset."""
    return {
        "engine": {"masterPort": free_port(), "env": {"HOME": str(models.parent / "home")}},
        "weights": {"mountPath": str(models), "path": f"{models}/tiny"},
    }


def run(folder: Path, models: Path, *, measured: bool = False) -> dict[str, CheckResult]:
    """Start the pods of a probe here with the settings of its Job, and return the results by check."""
    given = values(models)
    release, checked = (
        RenderedRelease("vllm", "default", render(merged(given, more), CHECKOUT / "values/tiny-cpu.yaml").documents)
        for more in ({}, {"fabric": {"bandwidthCheck": {"enabled": True}}})
    )
    asked = expect(release, checked if measured else None)
    spec = probe_run(release, asked, program(), "abc123", 10).objects[0]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    told = json.loads(next(item["value"] for item in container["env"] if item["name"] == "VMN_ACTIVE"))
    inside = probe_pod.put_program(folder)
    if asked.bandwidth:
        probe_pod.put_bandwidth(folder, asked.bandwidth)
        told["bandwidth"]["command"] = ["python3", "-B", str(folder / "bandwidth" / "bandwidth.py")]
    pods = [probe_pod.start(inside, rank, HOST, **{**told, "name": HOST}) for rank in range(asked.nodes)]
    reports = [
        ProbeReport(PodProgress(rank, f"node-{rank}", Phase.ENDED), probe_pod.ended(process))
        for rank, process in enumerate(pods)
    ]
    return {item.check: item for item in results(asked, reports, "", 1)}


def test_pods_answer_all_checks_of_the_job(models: Path, tmp_path: Path) -> None:
    found = run(tmp_path, models)
    assert [item.text for item in found.values() if "no answer" in item.text] == []
    status = {name: str(item.status) for name, item in found.items() if name not in OF_THE_MACHINE}
    passed = {name for name, item in status.items() if item == "PASS"}
    assert passed == {"active", "active-dns", "active-port", "active-cache", "active-weights"}, found
    assert set(status.values()) == {"PASS", "SKIP"}


def test_fault_reaches_the_results(models: Path, tmp_path: Path) -> None:
    (models / "tiny" / "model.safetensors").write_bytes(HEADER[:-1])
    found = run(tmp_path, models)
    assert str(found["active-weights"].status) == "FAIL"
    assert found["active-weights"].text.startswith("node-0, node-1: 1 file of ")


def test_what_the_program_of_the_bandwidth_finds_reaches_the_results(models: Path, tmp_path: Path) -> None:
    (tmp_path / "bandwidth").mkdir()
    (tmp_path / "bandwidth" / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    found = run(tmp_path, models, measured=True)
    assert str(found["active-bandwidth"].status) == "FAIL"
    assert found["active-bandwidth"].text.endswith("No module named 'torch'")
    assert found["active-transport"].text == "node-0, node-1: not measured: the ranks could not measure"
    assert found["active-port"].status == "PASS"
