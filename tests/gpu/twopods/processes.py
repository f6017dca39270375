"""Processes of this host: what they are called, and who started them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def command_line(number: int) -> str:
    """Return a process's command line, empty when it is gone."""
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def children(number: int) -> list[int]:
    """Return a process's children, in the order in which they were started."""
    try:
        return [int(word) for word in Path(f"/proc/{number}/task/{number}/children").read_text("ascii").split()]
    except OSError:
        return []


def processor_seconds(number: int) -> float:
    """Return how long a process has run on processors, 0 when it is gone."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text("ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime of proc_pid_stat(5)


def sharing_pids_with(first: int) -> Iterator[int]:
    """Yield all processes of the PID namespace of a process, in the order of their numbers."""
    try:
        own = Path(f"/proc/{first}/ns/pid").readlink()
    except OSError:
        return
    for number in sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        try:
            same = Path(f"/proc/{number}/ns/pid").readlink() == own
        except OSError:
            continue
        if same:
            yield number
