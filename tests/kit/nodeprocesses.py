"""Processes of pods whose node runs on this machine: found by their control group, signalled from outside."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from kit.cluster import Object

PROC = Path("/proc")


def of_pod(pod: Object) -> dict[int, str]:
    """Return the processes of a pod's containers: number -> command line, or the title that it gave itself."""
    uid = str(pod["metadata"]["uid"])
    return {number: _command(number) for number in _numbers() if uid in _text(PROC / str(number) / "cgroup")}


def named(pod: Object, word: str) -> list[int]:
    """Return the numbers of those processes of a pod whose command line has a word, the oldest first."""
    return sorted(number for number, command in of_pod(pod).items() if word in command)


def parent(number: int) -> int | None:
    """Return the parent of a process, nothing when it has ended."""
    fields = _text(PROC / str(number) / "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields and fields[0] != "Z" else None


def send(sign: signal.Signals, *numbers: int) -> None:
    """Send a signal to processes that are there.

    Raises:
        ProcessLookupError: one is not.
    """
    for number in numbers:
        os.kill(number, sign)


def _numbers() -> Iterator[int]:
    return (int(path.name) for path in PROC.iterdir() if path.name.isdigit())


def _command(number: int) -> str:
    return _text(PROC / str(number) / "cmdline").replace("\0", " ").strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # it ended meanwhile
        return ""
