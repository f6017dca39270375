"""``vmn install-test`` over the chart, its ci values, and every preset."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.cluster import get, run
from kit.paths import CHECKOUT, CI_VALUES, MAIN_PRESETS, OTHER_PRESETS
from kit.progress import step
from kit.simulated import at_least
from vmn.adapters.programs import Done

pytestmark = [pytest.mark.cluster, pytest.mark.minutes(3)]
LIMIT = 900
"""Seconds. The commands mostly wait, so both run at once, and the first one installs several presets at once."""
JOBS = 4
NODES = 4 * JOBS + 4
"""Twice those of a group of two for each release: with too few, two releases can each hold a part of what both need."""
EXTRA = CHECKOUT / "tests" / "cluster" / "simulated-values.yaml"
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"


def install_test(*options: str) -> Done:
    """Run the command on simulated nodes."""
    common = ("--extra-values", str(EXTRA), "--output", "json")
    return run(sys.executable, "-m", "vmn", "install-test", *common, *options, limit=LIMIT, check=False)


@pytest.fixture(scope="module")
def done(namespace: str, simulated_nodes: None) -> dict[str, Done]:
    """Run it over everything, and with an upgrade, each in its own namespace."""
    with (
        at_least(NODES),
        step("vmn install-test, and vmn install-test --upgrade"),
        ThreadPoolExecutor(2) as pool,
    ):
        whole = pool.submit(install_test, "--jobs", str(JOBS))
        upgrade = pool.submit(install_test, "--upgrade", "--values", str(PRESET), "--namespace", namespace)
        return {"whole": whole.result(), "upgrade": upgrade.result()}


def results(done: Done) -> list[dict[str, str]]:
    """Return what was done, after checking that all of it went well."""
    assert done.code == 0, failures(done.stderr) or done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    assert [item["problem"] for item in found] == [""] * len(found)
    return found


def failures(said: str) -> str:
    """Return what was said of each item that failed: its commands, and its pods and events at that time."""
    items = [f"==> {item}" for item in said.split("==> ")[1:]]
    return "\n".join(item for item in items if f"<== {item.splitlines()[0][4:]}: FAILED" in item)


def test_install_test_passes_over_the_chart_and_every_preset(done: dict[str, Done]) -> None:
    assert [item["item"] for item in results(done["whole"])] == [
        "ct lint",
        "ct install",
        *(f"preset {file.name}" for file in sorted([*OTHER_PRESETS, *MAIN_PRESETS])),
    ]
    assert get("namespace", "vmn-install-test") is None


def test_install_test_upgrades_from_the_previous_chart(done: dict[str, Done]) -> None:
    """With the ci values and one preset: which fields change with all of them is known offline."""
    upgraded = [item["item"] for item in results(done["upgrade"]) if item["item"].startswith("upgrade ")]
    assert upgraded == [*(f"upgrade {file.name}" for file in CI_VALUES), "upgrade deepseek-r1.yaml"]
