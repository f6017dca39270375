"""``vmn bench`` against a release that serves: what a person runs, and what is left afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from kit.cluster import run
from kit.paths import CHECKOUT

POINT = ("--prompt-tokens", "32", "--answer-tokens", "8", "--concurrency", "2", "--requests", "4")
LIMIT = 240
"""Seconds for a benchmark on two busy cores, most of them for importing vLLM."""
VMN = [sys.executable, "-c", "from vmn.cli import main; main()", "bench", "vllm"]


def environment() -> dict[str, str]:
    """Return the variables of the command, with this checkout's vmn."""
    return {**os.environ, "PYTHONPATH": str(CHECKOUT / "tools")}


def bench(namespace: str, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a benchmark of one point, and return how it ended."""
    command = [*VMN, "--namespace", namespace, *POINT, *map(str, options)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=LIMIT)


def interrupted(namespace: str) -> tuple[int, str]:
    """Begin a benchmark, interrupt it in the middle, and return its exit status and what it said."""
    command = ["env", "--default-signal=INT", *VMN, "--namespace", namespace, *POINT]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = ""
        for line in process.stderr:
            said += line
            if "measurement 1 of 1" in line:
                break
        process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=LIMIT)[1]
    return process.returncode, said


def left(namespace: str) -> str:
    """Return the names of what benchmarks have left in a namespace."""
    found = run("kubectl", "--namespace", namespace, "get", "jobs,pods", "--selector", "vmn/bench", "--output=name")
    return found.stdout
