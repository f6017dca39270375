"""Processes of this host: what they are called, and who started them."""

from __future__ import annotations

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
