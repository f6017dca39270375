"""How long ``vmn doctor`` takes as a whole command, with its imports, for a release of many groups."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kit.fakecluster import FakeCluster
from kit.paths import CHECKOUT
from kit.slowness import cpu_seconds, in_time
from unit.test_doctor_scale import GROUPS, LIMIT_SECONDS, healthy

METRICS = 'vllm:num_requests_running{engine="0"} 0.0\n'


AS_INSTALLED = "import sys; sys.modules['kubernetes_validate'] = None; import vmn.cli; vmn.cli.main()"
"""The client of Kubernetes imports that package where it is, which takes a second; only these tests have it."""
RUNS = 3
"""The best counts, because other tests run at the same time and slow the processor down."""


@pytest.mark.slow
def test_command_is_done_in_time_on_a_large_healthy_release(tmp_path: Path) -> None:
    world = healthy()
    texts = {f"{log.pod}/{log.container}": log.raw for log in world.logs}
    texts |= {f"{item['metadata']['name']}/metrics": METRICS for item in world.objects["pods"]}
    kubeconfig, said = tmp_path / "kubeconfig", tmp_path / "said.txt"
    with FakeCluster(world.objects, texts).serving(kubeconfig, "serving"), said.open("w") as output:
        command = [sys.executable, "-c", AS_INSTALLED, "doctor", "vllm", "--kubeconfig", str(kubeconfig)]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "tools")}
        seconds = min(cpu_seconds(command, environment, output) for _ in range(RUNS))
    assert in_time(seconds, LIMIT_SECONDS)
    assert said.read_text(encoding="utf-8").count("serves.") == GROUPS * RUNS
