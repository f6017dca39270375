"""What a command is going to fetch, how much room it takes, and whether this machine has that.

Standard library only: it is asked before the project's own Python environment is there.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from localcluster import programs
from localcluster.cache import cache_dir, state_dir
from localcluster.engine import packages, rootfs
from localcluster.host import HostError, say

GB = 10**9
ON_DEMAND = tuple(sorted({module for module, _ in programs.PROGRAMS.values()} - set(programs.CLUSTER)))
MEMORY = 6 * GB
"""The control plane and two nodes take about 1.5 GB, each of the tiny model's two pods as much; the compilers 3."""


@dataclass(frozen=True)
class Need:
    """What a part of the work takes.

    Attributes:
        name: the part.
        download: bytes fetched.
        disk: bytes on disk while it is made.
    """

    name: str
    download: float
    disk: float


def missing(*, tests: bool = False) -> list[Need]:
    """Return what is not in the caches yet.

    Args:
        tests: whether what only the tests need counts too.
    """
    found = []
    if programs.tasks():
        found.append(Need("Go modules, and programs built from them", 0.5 * GB, 4.5 * GB))
    if packages.expected():
        found.append(Need("vLLM's CPU build and its packages", 1.1 * GB, 4 * GB))
    if rootfs.expected():
        found.append(Need("a slim Debian", 0.05 * GB, 0.6 * GB))
    if tests and not all(map(programs.is_built, ON_DEMAND)):
        found.append(Need("programs that only tests use", 1.0 * GB, 5 * GB))
    return found


def announce(*, tests: bool = False) -> None:
    """Say what is going to be fetched, unless all is there.

    Raises:
        HostError: the disk or the memory will not do; nothing has been fetched by then.
    """
    found = missing(tests=tests)
    disk = sum(need.disk for need in found)
    if found:
        download = sum(need.download for need in found)
        say(f"First run: fetches {download / GB:.1f} GB and needs {disk / GB:.1f} GB of disk, once:")
        for need in found:
            say(f"    {need.name}: {need.download / GB:.1f} GB, {need.disk / GB:.1f} GB of disk")
    _require_disk(disk)
    if not state_dir().exists():
        _require_memory()


def _require_disk(wanted: float) -> None:
    folder = _existing(cache_dir())
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise HostError(
            f"{folder}: {free / GB:.1f} GB of disk are free, and {wanted / GB:.1f} GB are needed. "
            "Free some, or set XDG_CACHE_HOME (and GOCACHE and GOMODCACHE) to directories on a larger disk."
        )


def _require_memory() -> None:
    free = available_memory()
    if free < MEMORY:
        raise HostError(
            f"{free / GB:.1f} GB of memory are free, and {MEMORY / GB:.0f} GB are needed for the cluster and two pods "
            "of vLLM. End other programs, or use a larger machine."
        )


def available_memory() -> float:
    """Return the bytes of memory that programs can still get (MemAvailable of /proc/meminfo)."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(1024 * float(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
