"""Pods with several ranks, of which one is killed: vLLM waits for the others for nine seconds, and PID 1 does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engine.test_twopods import run
from kit.simulated import is_local_cluster

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not is_local_cluster(), reason="runs pods on this machine, with the local cluster's engine"),
]
TWO_RANKS = {"parallelism": {"tensor": 2, "pipeline": 2}, "group": {"gpusPerNode": 2}}
AT_ONCE = 7
"""Seconds until both pods have ended: two of PID 1's checks in each pod, and the kernel on a busy machine."""


@pytest.mark.parametrize("role", ["leader", "worker"])
def test_pods_end_when_one_of_their_ranks_is_killed(tmp_path: Path, role: str) -> None:
    values = tmp_path / "two-ranks.yaml"
    values.write_text(yaml.safe_dump(TWO_RANKS))
    start, fault = run(tmp_path, ("start cold", f"fault kill {role} TP1"), values)
    assert start["ok"] and fault["ok"]
    assert fault["requests"]["never_ended"] == 0
    # On gloo, the other rank sometimes ends by itself, and vLLM with it, before PID 1 looks a second time.
    assert max(fault["pods"][pod]["ended"] for pod in ("leader", "worker")) < AT_ONCE
