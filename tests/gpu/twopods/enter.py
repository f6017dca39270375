"""Starts a container: namespaces for mounts and processes, what the container sees, and its command as PID 1.

Usage: ``python3 -I enter.py SPEC``, a JSON file with: ``root`` (directory that becomes /), ``stage`` (an empty
directory), ``mounts`` ([[kind, source, target, options], ...]), ``user``, ``group``, ``groups``, ``confined``,
``read_only``, ``environment``, ``command``. Needs only the standard library.

It waits for PID 1 and exits with its status, 128 and the signal if one killed it. (``unshare --fork`` of util-linux
2.38 exits with 1 then.) Nothing is written to the root directory: where a mount needs a place that is not there, the
directories above it are new ones in memory, with all that they hold bound into them.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

READ_ONLY, REMOUNT, BIND, REC, PRIVATE = 1, 32, 4096, 16384, 1 << 18
"""Flags of mount(2)."""
NEW_MOUNTS, NEW_PROCESSES = 0x00020000, 0x20000000
"""CLONE_NEWNS and CLONE_NEWPID of unshare(2)."""
DEATH_SIGNAL, NO_NEW_PRIVILEGES = 1, 38
"""PR_SET_PDEATHSIG and PR_SET_NO_NEW_PRIVS of prctl(2)."""
START_ERROR = 128
"""Exit status of a container whose command can't be started (containerd)."""
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}


def mount(source: str | Path, target: str | Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount something.

    Raises:
        OSError: the kernel refuses it.
    """
    words = [os.fsencode(word) or None for word in (source, target, kind)]
    if ctypes.CDLL(None, use_errno=True).mount(*words, ctypes.c_ulong(flags), os.fsencode(options) or None):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} at {target}: {os.strerror(number)}")


def bind(source: Path, target: Path, flags: int = REC) -> None:
    """Show a file or a directory at another place."""
    mount(source, target, flags=BIND | flags)


def build(spec: Mapping[str, Any]) -> Path:
    """Mount the container's file system and return its root."""
    source, root, mounts = Path(spec["root"]), Path(spec["stage"]), spec["mounts"]
    mount("none", "/", flags=REC | PRIVATE)
    mount("tmpfs", root, "tmpfs", options="mode=0755")
    own_dev = source != Path("/")
    targets = [Path(target.lstrip("/")) for _, _, target, _ in mounts]
    show(source, root, [target for target in targets if not (own_dev and target.parts[0] == "dev")], root)
    if own_dev:
        own_devices(root / "dev")
    mount("proc", root / "proc", "proc")
    own_sys(root)
    for kind, origin, target, options in mounts:
        place = root / target.lstrip("/")
        if kind == "memory":
            mount("tmpfs", place, "tmpfs", options=options)
            continue
        make_place(place, is_file=Path(origin).is_file())
        bind(Path(origin), place)
        if options == "ro":
            mount("none", place, flags=REMOUNT | BIND | READ_ONLY)
    if spec["read_only"]:
        mount("none", root, flags=REMOUNT | BIND | READ_ONLY)
    return root


def show(source: Path, place: Path, targets: Sequence[Path], stage: Path) -> None:
    """Show a directory at a place, with room for mounts in it.

    Args:
        source: the directory.
        place: an empty directory.
        targets: where mounts will be, relative to the directory.
        stage: directory that is not shown.
    """
    if all((source / target).exists() for target in targets) and not stage.is_relative_to(source):
        bind(source, place)
        return
    for entry in sorted(source.iterdir()):
        shown = place / entry.name
        if entry.is_symlink():
            shown.symlink_to(entry.readlink())
        elif not entry.is_dir():
            shown.touch()
            bind(entry, shown)
        elif entry != stage:
            shown.mkdir()
            shown.chmod(entry.stat().st_mode & 0o7777)
            if Path(entry.name) not in targets:  # else a mount hides all that is in it
                inside = [Path(*target.parts[1:]) for target in targets if target.parts[0] == entry.name]
                show(entry, shown, inside, stage)


def make_place(place: Path, *, is_file: bool) -> None:
    """Make a file or a directory, if there is none."""
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch() if is_file else place.mkdir()


def own_sys(root: Path) -> None:
    """Show the container its own network in /sys; where that is not allowed, the host's stays."""
    try:
        mount("sysfs", root / "sys", "sysfs")
    except OSError:
        if not any((root / "sys").iterdir()):
            bind(Path("/sys"), root / "sys")


def own_devices(target: Path) -> None:
    """Make /dev of a root file system that has none."""
    mount("tmpfs", target, "tmpfs", options="mode=0755")
    for name in DEVICES:
        (target / name).touch()
        bind(Path("/dev") / name, target / name)
    for name, place in LINKS.items():
        (target / name).symlink_to(place)
    (target / "shm").mkdir()


def become(spec: Mapping[str, Any], root: Path) -> None:
    """Give up root's rights, and execute the command.

    Raises:
        OSError: the command is not there.
    """
    os.chroot(root)
    os.chdir("/")
    os.umask(0o022)
    os.fchown(1, spec["user"], -1)  # as runc does, so that probes may write to /proc/1/fd/1
    os.dup2(1, 2)
    os.setgroups(spec["groups"])
    os.setgid(spec["group"])
    os.setuid(spec["user"])
    control = ctypes.CDLL(None).prctl
    control(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)  # which another user loses
    if spec["confined"]:
        control(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    command = spec["command"]
    os.execvpe(command[0], command, spec["environment"])


def main(spec: Mapping[str, Any]) -> int:
    """Start the container, and return its exit status."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(NEW_MOUNTS | NEW_PROCESSES):
        raise OSError(ctypes.get_errno(), "unshare")
    if not (first := os.fork()):
        library.prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        try:
            become(spec, build(spec))
        except OSError as failed:
            print(f"the container can't be started: {failed}", flush=True)
            os._exit(START_ERROR)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the log ends with the container
    status = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
