"""The bandwidth between the pods: the chart's own program, which needs the image's PyTorch."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

KINDS = ("bandwidth", "transport", "gpu-health")
"""Checks that the program answers, each with one line."""
ANSWER = "vllm-multinode-bandwidth "
"""Beginning of these lines; the rest is JSON."""


def measure(asked: dict[str, Any], rank: int, nodes: int, name: str) -> dict[str, Any]:
    """Run the program as the chart's init container does, and return its answers by check.

    Args:
        asked: its command, variables, and directory.
        rank: index of this pod.
        nodes: number of pods.
        name: name or address of pod 0.
    """
    group = {"LWS_WORKER_INDEX": str(rank), "LWS_GROUP_SIZE": str(nodes), "LWS_LEADER_ADDRESS": name}
    env = {**os.environ, **asked["env"], **group}
    program = subprocess.Popen(
        asked["command"], cwd=Path(__file__).parent.parent / asked["folder"], env=env, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = {}
    with program:
        for line in program.stdout or ():
            if line.startswith(ANSWER):
                answer = json.loads(line[len(ANSWER) :])
                found[answer.pop("check")] = answer
    return {kind: found[kind] for kind in KINDS if kind in found}


def skipped(why: str) -> dict[str, Any]:
    """Return the answers when nothing can be measured."""
    return {kind: {"summary": "", "problems": [], "skipped": why} for kind in KINDS}
