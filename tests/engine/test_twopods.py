"""The two pods of ``tests/gpu``, with vLLM's CPU build: what runs on GPUs there must run here as well."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.reference import ANSWER, PRESET
from gpu.twopods.render import render_chart, write
from gpu.twopods.standard import HERE
from kit.paths import CHECKOUT
from kit.simulated import is_local_cluster
from localcluster import engine
from localcluster.engine import rootfs

pytestmark = [
    pytest.mark.engine,
    pytest.mark.minutes(2),
    pytest.mark.skipif(not is_local_cluster(), reason="runs pods on this machine, with the local cluster's engine"),
]
SECONDS = 420
"""For all of it: three starts, of 25 to 40 s on two cores, and twice that beside other tests."""
TIMEOUT = 15
"""Seconds for one step of the engine."""
VALUES = {
    "engine": {"env": {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": str(TIMEOUT)}},
    "shutdown": {"preStopSeconds": 1},
    "startup": {"backoffSeconds": 0},
}
STEPS = (
    *("start cold", "test", f"ask 'expect={ANSWER}'", "bench 4x16x16", "fault kill worker rank"),
    *("start warm", "fault stop worker rank"),
    *("start warm", "drain 2x16x300"),
)


def write_plan(folder: Path, steps: Sequence[str], *more: Path) -> Path:
    """Write the group, the model, and the plan."""
    values = folder / "values.yaml"
    values.write_text(yaml.safe_dump(VALUES), encoding="utf-8")
    write(render_chart([PRESET, values, *more]), folder / "tiny.json")
    shutil.copytree(engine.prepare().model_dir, folder / "models/tiny")
    plan = folder / "plan.json"
    plan.write_text(json.dumps([{"group": "tiny", "steps": steps}]), encoding="utf-8")
    return plan


def run(folder: Path, steps: Sequence[str], *more: Path) -> list[dict[str, Any]]:
    """Run steps with a group of the preset and further values files, and return what each step found."""
    image = [word for name, value in rootfs.ENVIRONMENT.items() for word in ("--env", f"{name}={value}")]
    folder.chmod(0o755)
    plan = write_plan(folder, steps, *more)
    command = [sys.executable, "-m", "gpu.twopods", "run", str(folder / "tiny.json"), "--plan", str(plan)]
    command += ["--models", str(folder / "models"), "--volume", f"engine={engine.prepare().packages_dir}", "--gpus", ""]
    command += ["--root", str(rootfs.tree()), "--user", str(rootfs.USER_ID), *image]
    command += ["--out", str(folder / "out"), "--seconds", str(SECONDS)]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "tests")}
    subprocess.run(command, env=env, timeout=SECONDS + 60, check=False)
    found: list[dict[str, Any]] = json.loads((folder / "out/results.json").read_text())["scenarios"][0]["steps"]
    return found


def test_pods_serve_as_rendered_and_end_with_their_faults(tmp_path: Path) -> None:
    found = run(tmp_path, STEPS)
    assert [step["step"] for step in found if not step["ok"]] == []
    start, _, _, _, killed, _, stopped, _, drain = found
    stages = start["stages"]["leader"]
    assert next(iter(stages)) == "vllm serve" and "rank's first line" in stages and "server" in stages
    assert killed["pods"]["worker"]["ended"] < 15
    assert killed["requests"]["never_ended"] == stopped["requests"]["never_ended"] == 0
    assert TIMEOUT - 1 < stopped["requests"]["last_of_these_ended"] < TIMEOUT + 20
    assert stopped["pods"]["leader"]["exit"] != 0
    assert (drain["in_flight"], drain["in_flight_at_sigterm"], drain["lost"]) == (2, 2, 0)


def test_bandwidth_of_the_pods_is_measured_before_vllm_starts(tmp_path: Path) -> None:
    steps = ["bandwidth", "bandwidth rate 100mbit expect=failure", "start cold"]
    fast, slow, start = run(tmp_path, steps, HERE / "values/bandwidth.yaml")
    assert [step["step"] for step in (fast, slow, start) if not step["ok"]] == []
    assert "the GPUs of this group communicate as they should" in fast["said"]["leader"][-1]
    assert any("error: " in line and "GB/s" in line for line in slow["said"]["leader"])
