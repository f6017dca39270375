"""The cluster's processes: started inside one control group, found again by it, ended by it.

The control group is the record of what is ours. It holds every daemon from before its first instruction and whatever
a daemon starts, so that a run killed at any moment leaves nothing that a later one could not find, and no process of
anybody else is ever ended. Pods' containers are in groups below it (the kubelets' ``cgroupRoot``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from localcluster import launch
from localcluster.cache import state_dir
from localcluster.host import HostError, is_stopping
from localcluster.instance import INSTANCE

CGROUP = f"/{INSTANCE.name}"
"""Control group of everything that belongs to the cluster, in each hierarchy of the machine."""

GARBAGE = {"GOGC": "300", "GOMEMLIMIT": "1500MiB"}
"""Has Go's programs collect garbage a third as often while they have little of it: the API server spent 20 % of its
time on it beside the tests (pprof)."""

_DAEMONS = "daemons"
_KILL_TIMEOUT_S = 30
_TAIL_LINES = 25


def spawn(name: str, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> int:
    """Start a daemon in the cluster's control group, its output in a log, and return its process id.

    Args:
        name: what it is called in ``state_dir()/pids`` and ``state_dir()/logs``.
        argv: program and arguments; a program that forks is not a daemon.
        env: variables added to this process's environment.

    Raises:
        OSError: the control group or the log can't be made.
    """
    command = [str(part) for part in launched(argv)]
    log = log_of(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **GARBAGE, **(env or {})},
            start_new_session=True,
        )
    process.returncode = (
        0  # a daemon outlives this process, which does not wait for it, and Python need not warn of that
    )
    record = _record(name)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(f"{process.pid} {_start_time(process.pid)}\n")
    return process.pid


def launched(argv: Sequence[str | Path]) -> list[str | Path]:
    """Return ``argv`` with the launcher in front that puts the program into the cluster's control group."""
    group = _home() / CGROUP.lstrip("/") / _DAEMONS
    group.mkdir(parents=True, exist_ok=True)
    return [sys.executable, "-ISB", Path(launch.__file__), group, *argv]


def pid_of(name: str) -> int | None:
    """Return a daemon's process id while it runs, else ``None``; another process with the same number doesn't count."""
    try:
        pid, started = _record(name).read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if started != "0" and _start_time(int(pid)) == started else None


def daemons() -> list[str]:
    """Return the names of all daemons that were started, running or not."""
    return sorted(path.name for path in _record("").glob("*"))


def log_of(name: str) -> Path:
    """Return the file with a daemon's output."""
    return state_dir() / "logs" / f"{name}.log"


def tail(path: Path) -> str:
    """Return the last lines of a log, indented, to go with an error."""
    with contextlib.suppress(OSError):
        lines = path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return f"\nThe end of {path}:\n" + "\n".join(f"  {line[:400]}" for line in lines)
    return ""


def wait_until(what: str, ready: Callable[[], bool], *, timeout: float, log: Path | None = None) -> None:
    """Wait until ``ready()`` is true; a ``HostError`` out of it counts as not yet.

    Args:
        what: named in the error: "no ... after N s".
        ready: asked every 0.2 seconds.
        timeout: seconds.
        log: its end goes with the error.

    Raises:
        HostError: not within ``timeout``, with the last error and the log's end; or the command is being stopped, so
            that ``ready`` can't run its programs.
    """
    end = time.monotonic() + timeout
    last = ""
    while True:
        try:
            if ready():
                return
        except HostError as error:
            last = f"\n{error}"
        if is_stopping():
            raise HostError(f"no {what}: the command is being stopped")
        if time.monotonic() > end:
            raise HostError(f"no {what} after {timeout:.0f} s{last}{tail(log) if log else ''}")
        time.sleep(0.2)


def members(name: str = "") -> set[int]:
    """Return the ids of all processes in the cluster's control group and the groups below it.

    Args:
        name: a group made by ``make_groups``, for the pods of one node only.
    """
    found: set[int] = set()
    for group in _walk_groups(name):
        with contextlib.suppress(OSError):
            found.update(int(line) for line in (group / "cgroup.procs").read_text().split())
    return found - {0}


def kill(names: Iterable[str]) -> None:
    """Kill daemons, those of them that run."""
    for pid in filter(None, map(pid_of, names)):
        _kill(pid)


def kill_members(name: str = "") -> None:
    """Kill every process of the cluster, or of one of its groups.

    Raises:
        HostError: something outlives SIGKILL.
    """
    end = time.monotonic() + _KILL_TIMEOUT_S
    while alive := members(name):
        for pid in alive:
            _kill(pid)
        if time.monotonic() > end:
            raise HostError(f"processes {sorted(alive)} outlive SIGKILL; they may hang in the kernel")
        time.sleep(0.05)


def kill_all() -> None:
    """Kill every process of the cluster, then remove its control groups.

    Raises:
        HostError: something outlives SIGKILL.
    """
    kill_members()
    end = time.monotonic() + _KILL_TIMEOUT_S
    while groups := _groups():
        for group in sorted(groups, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()
        if time.monotonic() > end:
            raise HostError(f"control groups can't be removed: {', '.join(map(str, groups))}")
        time.sleep(0.02)


def hierarchies(mountinfo: str) -> dict[Path, str]:
    """Return mount point -> type (``cgroup`` or ``cgroup2``) out of the text of ``/proc/self/mountinfo``."""
    found: dict[Path, str] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind = after.split(" ")[0]
        if kind in ("cgroup", "cgroup2"):
            found[Path(before.split(" ")[4])] = kind
    return found


def make_groups(name: str) -> str:
    """Make a control group below the cluster's in every hierarchy and return its name.

    Raises:
        OSError: it can't be made.
    """
    for hierarchy, kind in _hierarchies().items():
        group = hierarchy / CGROUP.lstrip("/")
        (group / name).mkdir(parents=True, exist_ok=True)
        if kind == "cgroup2":
            _delegate_controllers(hierarchy)
            _delegate_controllers(group)
    return f"{CGROUP}/{name}"


def _home() -> Path:
    """Return the hierarchy that holds the daemons: the unified one, where there is one."""
    found = _hierarchies()
    if not found:
        raise HostError("no control groups are mounted on this machine, and kubelets need them")
    return min(found, key=lambda path: found[path] != "cgroup2")


def _delegate_controllers(group: Path) -> None:
    """Let the groups below have what controllers the group has; a kubelet refuses a root without them."""
    for controller in (group / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):
            (group / "cgroup.subtree_control").write_text(f"+{controller}")


def _hierarchies() -> dict[Path, str]:
    return hierarchies(Path("/proc/self/mountinfo").read_text())


def _groups() -> list[Path]:
    """Return the cluster's control groups of all hierarchies, parents before children."""
    return list(_walk_groups())


def _walk_groups(name: str = "") -> Iterator[Path]:
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / CGROUP.lstrip("/") / name):
            yield Path(folder)


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            if pid in members():
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _record(name: str) -> Path:
    return state_dir() / "pids" / name


def _start_time(pid: int) -> str:
    """Return a process's start in clock ticks since boot, ``0`` for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "0"
    return "0" if fields[0] in "ZX" else fields[19]
