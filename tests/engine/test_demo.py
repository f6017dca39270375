"""The demo on a cluster that is there already, beside what others have on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.reference import ANSWER
from kit.cluster import kubectl, run
from kit.paths import CHECKOUT
from kit.release import remove_all
from localcluster.demo import OTHER_NAMESPACE

pytestmark = [pytest.mark.engine, pytest.mark.minutes(1)]
LIMIT = 600


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """Give a copy of the cluster's kubeconfig, so that the demo can't take it for its own; remove what it made."""
    file = tmp_path / "config"
    file.write_text(Path(os.environ["KUBECONFIG"]).read_text(encoding="utf-8"), encoding="utf-8")
    yield file
    remove_all(OTHER_NAMESPACE)
    kubectl("delete", "namespace", OTHER_NAMESPACE, "--ignore-not-found", limit=180)


def test_demo_on_another_cluster_answers_from_a_namespace_of_its_own(config: Path) -> None:
    options = ["--kubeconfig", str(config), "--values", "values/tiny-cpu.yaml"]
    command = [sys.executable, "-m", "localcluster", "demo", *options]
    done = run("env", f"PYTHONPATH={CHECKOUT / 'tools'}", *command, limit=LIMIT)
    assert f"answer:  {ANSWER!r}" in done.stdout
    assert f"helm uninstall vllm --namespace {OTHER_NAMESPACE}" in done.stdout
