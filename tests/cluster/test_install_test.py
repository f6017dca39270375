"""``vmn install-test`` over the chart, its ci values and every overlay."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kit import simulated
from kit.cluster import get, run
from kit.paths import CATALOGUE, CHART, OVERLAYS
from kit.progress import step

pytestmark = pytest.mark.cluster
LIMIT = 600


@pytest.mark.usefixtures("simulated_nodes")
def test_install_test_passes_over_the_chart_and_its_overlays(tmp_path: Path) -> None:
    extra = tmp_path / "simulated.yaml"
    extra.write_text(json.dumps(simulated.VALUES))
    overlays = [option for file in OVERLAYS for option in ("--values", str(file))]
    options = ["--extra-values", str(extra), "--output", "json", *overlays]
    command = [sys.executable, "-m", "vmn", "install-test", *options]
    with step("vmn install-test"):
        done = run(*command, limit=LIMIT, check=False)
    assert done.code == 0, f"{done.stdout}\n{done.stderr[-8000:]}"
    results = json.loads(done.stdout)
    assert [item["item"] for item in results] == [
        "ct lint",
        "ct install",
        *(f"overlay {file.name}" for file in OVERLAYS),
    ]
    assert [item["problem"] for item in results] == [""] * len(results)
    assert get("namespace", "vmn-install-test") is None


def test_api_server_accepts_every_file_of_the_catalogue(namespace: str) -> None:
    for file in CATALOGUE:
        run("helm", "install", "vllm", str(CHART), "--namespace", namespace, "--values", str(file), "--dry-run=server")
