"""``vmn install-test`` over the chart, its ci values and every overlay."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kit import simulated
from kit.cluster import get, run
from kit.paths import CATALOGUE, OVERLAYS
from kit.progress import step

pytestmark = pytest.mark.cluster
LIMIT = 900


@pytest.mark.usefixtures("simulated_nodes")
def test_install_test_passes_over_the_chart_and_every_overlay(tmp_path: Path) -> None:
    extra = tmp_path / "simulated.yaml"
    extra.write_text(json.dumps(simulated.VALUES))
    command = [sys.executable, "-m", "vmn", "install-test", "--extra-values", str(extra), "--output", "json"]
    with step("vmn install-test"):
        done = run(*command, limit=LIMIT, check=False)
    assert done.code == 0, f"{done.stdout}\n{done.stderr[-8000:]}"
    results = json.loads(done.stdout)
    assert [item["item"] for item in results] == [
        "ct lint",
        "ct install",
        *(f"overlay {file.name}" for file in sorted([*CATALOGUE, *OVERLAYS])),
    ]
    assert [item["problem"] for item in results] == [""] * len(results)
    assert get("namespace", "vmn-install-test") is None
