"""Limits on the CPU time of what is tested, on processors that others may use, too, and that are slower meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

IMPORT = "import sys; sys.modules['kubernetes_validate'] = None; import kubernetes.client"
"""Reads, creates, and links thousands of small objects, as the commands do."""
QUIET_SECONDS = 0.22
"""CPU time of that on the machine on which limits were measured, while it did nothing else."""
TRIES = 3


def in_time(seconds: float, limit: float) -> bool:
    """Return whether a CPU time is below a limit, or would be if the processor were not slow at this moment.

    Args:
        seconds: what something took just now.
        limit: seconds on the machine on which limits were measured.
    """
    return seconds < limit or seconds < limit * slowness()


def slowness() -> float:
    """Return how many times longer than there the same work takes here and now, at least 1."""
    times = [cpu_seconds([sys.executable, "-c", IMPORT], os.environ, None) for _ in range(TRIES)]
    return max(min(times) / QUIET_SECONDS, 1.0)


def cpu_seconds(command: Sequence[str], environment: Mapping[str, str], output: IO[str] | None) -> float:
    """Run a command, and return the CPU time that it took.

    Args:
        command: program and arguments.
        environment: its variables.
        output: gets its standard output.
    """
    process = subprocess.Popen(command, stdout=output, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime
