"""What runs in the pods of ``vmn preflight --active``, run here: from a directory, as it is mounted there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmn.adapters.probe_job import program
from vmn.core.preflight.probe.bandwidth import BandwidthCheck
from vmn.core.preflight.probe.judge import answers_of

SETTINGS: Mapping[str, Any] = {
    **{"name": "127.0.0.1", "limit": 15, "nodes": 2, "port": 29501, "weights": None, "writable": []},
    **{"gpus": False, "rdma": False, "gid": None, "bandwidth": None},
}
LIMIT = 40
"""Seconds that a pod may take."""


def put_program(directory: Path) -> Path:
    """Write the program as its ConfigMap is mounted, and return where it is to be started."""
    for path, text in program().items():
        (directory / path).parent.mkdir(exist_ok=True)
        (directory / path).write_text(text, encoding="utf-8")
    return directory


def put_bandwidth(directory: Path, check: BandwidthCheck) -> None:
    """Write the program that measures the bandwidth beside it."""
    folder = directory / check.settings["folder"]
    folder.mkdir(exist_ok=True)
    for name, text in check.files.items():
        (folder / name).write_text(text, encoding="utf-8")


def start(directory: Path, rank: int, host: str, **settings: Any) -> subprocess.Popen[str]:
    """Start a pod.

    Args:
        directory: of ``put_program``.
        rank: its number.
        host: its address.
        settings: over those of a plain pair of pods.
    """
    python = shutil.which("python3") or "python3"
    given = json.dumps({**SETTINGS, **settings})
    env = {"PATH": os.environ["PATH"], "VLLM_HOST_IP": host, "JOB_COMPLETION_INDEX": str(rank), "VMN_ACTIVE": given}
    command = [python, "-B", "-E", "-S", "-m", "probe_pod"]
    return subprocess.Popen(
        command, cwd=directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ended(pod: subprocess.Popen[str]) -> dict[str, Mapping[str, Any]]:
    """Wait for a pod's end, and return its facts by check."""
    with pod:
        said, _ = pod.communicate(timeout=LIMIT)
    assert pod.returncode == 0, said
    return answers_of(said)
