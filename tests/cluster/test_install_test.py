"""``vmn install-test`` over the chart, its ci values and every overlay."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kit import simulated
from kit.cluster import get, run
from kit.paths import CATALOGUE, CHECKOUT, CI_VALUES, OVERLAYS
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


@pytest.mark.usefixtures("simulated_nodes")
def test_install_test_upgrades_from_the_previous_chart() -> None:
    """With the ci values and one overlay: which fields change with all of them is known offline."""
    extra = CHECKOUT / "tests" / "cluster" / "simulated-values.yaml"
    overlay = CHECKOUT / "values" / "deepseek-r1.yaml"
    options = ["--upgrade", "--values", str(overlay), "--extra-values", str(extra), "--output", "json"]
    with step("vmn install-test --upgrade"):
        done = run(sys.executable, "-m", "vmn", "install-test", *options, limit=LIMIT, check=False)
    assert done.code == 0, f"{done.stdout}\n{done.stderr[-8000:]}"
    results = json.loads(done.stdout)
    assert [item["item"] for item in results if item["item"].startswith("upgrade ")] == [
        *(f"upgrade {file.name}" for file in CI_VALUES),
        "upgrade deepseek-r1.yaml",
    ]
    assert [item["problem"] for item in results] == [""] * len(results)
