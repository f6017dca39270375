"""``vmn preflight`` as a user runs it, without a cluster; tests/cluster has the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from kit.paths import CHECKOUT
from kit.render import helm_program
from vmn.cli import main
from vmn.core.preflight.result import failed, passed, skipped, warned
from vmn.report.preflight import as_json, text

Run = Callable[..., Result]
PRESET = CHECKOUT / "values/deepseek-r1.yaml"
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "here",
    "clusters": [{"name": "here", "cluster": {"server": "https://127.0.0.1:9"}}],
    "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "models"}}],
    "users": [{"name": "me", "user": {"token": "none"}}],
}
FINDINGS = [
    failed("nodes", "room for 0 of 2 pods (1 x 2): 3 nodes have nvidia.com/gpu; 3 taint a=b:NoSchedule", "Tolerate a."),
    passed("server", "Kubernetes 1.37"),
    skipped("queue", "the release waits in no queue"),
    warned("secrets", "Secret hf-secret is not there", "Create it."),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command with a cluster that does not answer."""
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(KUBECONFIG))
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setenv("PATH", str(helm_program().parent), prepend=":")
    return lambda *arguments: CliRunner().invoke(main, ["preflight", *arguments])


def test_preflight_ends_with_3_when_no_cluster_is_configured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    done = run("-f", str(PRESET))
    assert done.exit_code == 3
    assert "No cluster is configured" in done.stderr
    assert "KUBECONFIG" in done.stderr


def test_preflight_ends_with_3_and_names_the_existing_contexts(run: Run) -> None:
    done = run("-f", str(PRESET), "--context", "there")
    assert (done.exit_code, done.stderr) == (3, "vmn: Context there does not exist. Use one of here.\n")


def test_preflight_ends_with_3_when_the_cluster_does_not_answer(run: Run) -> None:
    done = run("-f", str(PRESET))
    assert done.exit_code == 3
    assert "https://127.0.0.1:9 does not answer" in done.stderr


def test_preflight_ends_with_1_when_the_chart_refuses_the_values(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("group: {nodes: 0}\n")
    done = run("-f", str(PRESET), "-f", str(file))
    assert done.exit_code == 1
    assert "the chart refuses the values. Run `vmn validate` for details" in done.stderr
    assert "group/nodes" in done.stderr or "group.nodes" in done.stderr


def test_results_are_printed_the_worst_last_and_counted() -> None:
    lines = text(FINDINGS).splitlines()
    assert [line.split()[0] for line in lines if line[:4].strip()] == ["PASS", "WARN", "FAIL", "1"]
    assert lines[-1] == "1 failed, 1 warned, 1 passed, 1 skipped"
    assert lines[lines.index("") - 1].strip() == "fix: Tolerate a."
    assert all(len(line) <= 118 for line in lines)


def test_skipped_checks_are_printed_when_asked_for() -> None:
    assert "SKIP" not in text(FINDINGS)
    assert "SKIP" in text(FINDINGS, everything=True)


def test_statuses_are_colored_only_when_asked_for() -> None:
    assert "\x1b[31mFAIL\x1b[0m" in text(FINDINGS, color=True)
    assert "\x1b" not in text(FINDINGS)


def test_findings_are_json_when_asked_for() -> None:
    content = json.loads(as_json(FINDINGS))
    assert content["failed"] is True
    assert content["findings"][0]["check"] == "nodes"
    assert content["findings"][1]["fix"] is None
