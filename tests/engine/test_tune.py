"""``vmn tune`` on a release that serves: once to its end, and once interrupted while a setting starts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.benchmarking import environment, left
from engine.reference import ANSWER, PRESET, USAGE, ask
from kit.cluster import objects, run
from kit.paths import CHECKOUT
from kit.progress import step
from kit.release import Release

pytestmark = [pytest.mark.engine, pytest.mark.minutes(11)]
START_LIMIT, RUN_LIMIT = 300, 900
"""Seconds until a group serves, and for a run; both are busy with imports of vLLM most of the time."""
POINT = ("--prompt-tokens", "32", "--answer-tokens", "8", "--concurrency", "2", "--requests", "4", "--repeats", "2")
SHAPES = CHECKOUT / "tools/localcluster/engine/tiny/config.json"
GOOD, BAD = "max-num-seqs=2", "max-num-batched-tokens=3"
"""A setting that starts, and one that vLLM refuses: fewer tokens of a step than requests (4 in the preset)."""
VMN = [sys.executable, "-c", "from vmn.cli import main; main()", "tune", "vllm", *POINT]


@pytest.fixture(scope="module")
def serving(namespace: str) -> Iterator[Release]:
    """Install the tiny model on one node, and wait until it serves."""
    release = Release(namespace)
    release.install(PRESET, values={"group": {"nodes": 1}})
    release.wait_available(START_LIMIT)
    yield release
    release.uninstall()


def values(release: Release) -> Any:
    """Return the values that the release has."""
    return json.loads(run("helm", "get", "values", "vllm", "--output=json", "--namespace", release.namespace).stdout)


def assert_as_before(release: Release, before: Any) -> None:
    """Check that the release answers, has its old values, and that nothing is left."""
    assert values(release) == before
    release.wait_available(60)  # its status may be some seconds late
    assert ask(release.namespace) == (ANSWER, USAGE)
    assert left(release.namespace) == ""
    assert objects("leases", namespace=release.namespace) == []


def test_settings_are_tried_and_the_old_values_are_back(serving: Release, tmp_path: Path) -> None:
    before = values(serving)
    options = ["--gpu", "l4", "--config", str(SHAPES), "--try", BAD, "--try", GOOD, "--output", "json"]
    command = [*VMN, "--namespace", serving.namespace, *options]
    with step("vmn tune"):
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=RUN_LIMIT)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    bad, good = result["settings"]
    assert (bad["outcome"], good["outcome"]) == ("did not start", "measured")
    assert "vLLM rejects its configuration" in bad["why"]
    assert len(good["calls"]) == len(result["now"]["calls"]) == len(result["now_again"]["calls"]) == 2
    assert good["compared"]["repeats"] == 2
    assert result["put_back"]
    assert_as_before(serving, before)


def test_interrupt_while_a_setting_starts_puts_the_old_values_back(serving: Release) -> None:
    before = values(serving)
    command = ["env", "--default-signal=INT", *VMN, "--namespace", serving.namespace, "--yes", "--try", GOOD]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as vmn:
        assert vmn.stderr
        for line in vmn.stderr:
            if "with other settings" in line:
                break
        vmn.send_signal(signal.SIGTERM)
        shown, said = vmn.communicate(timeout=RUN_LIMIT)
    assert vmn.returncode == 1, said
    assert "The run ended early: interrupted" in shown
    assert "The release serves as before" in shown
    assert_as_before(serving, before)
