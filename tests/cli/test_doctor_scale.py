"""How long ``vmn doctor`` takes as a whole command, with its imports, for a release of many groups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kit.fakecluster import FakeCluster
from kit.paths import CHECKOUT
from unit.test_doctor_scale import GROUPS, LIMIT_SECONDS, healthy

METRICS = 'vllm:num_requests_running{engine="0"} 0.0\n'


def test_command_is_done_in_time_on_a_large_healthy_release(tmp_path: Path) -> None:
    world = healthy()
    texts = {f"{log.pod}/{log.container}": log.raw for log in world.logs}
    texts |= {f"{item['metadata']['name']}/metrics": METRICS for item in world.objects["pods"]}
    kubeconfig, said = tmp_path / "kubeconfig", tmp_path / "said.txt"
    with FakeCluster(world.objects, texts).serving(kubeconfig, "serving"), said.open("w") as output:
        command = [sys.executable, "-m", "vmn", "doctor", "vllm", "--kubeconfig", str(kubeconfig)]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "tools")}
        process = subprocess.Popen(command, stdout=output, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    # Time on the processor, because other tests run at the same time; alone, the command takes about as long.
    assert usage.ru_utime + usage.ru_stime < LIMIT_SECONDS
    assert said.read_text(encoding="utf-8").count("serves.") == GROUPS
