"""Running a command in the engine's root file system, without a cluster: own namespaces and a chroot."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster import host
from localcluster.engine import rootfs


def command(
    argv: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    mounts: Mapping[str, Path] | None = None,
    *,
    user: int = rootfs.USER_ID,
    writable: Sequence[str] = (),
) -> list[str]:
    """Return the command line that runs ``argv`` in the root file system; starting it needs root.

    The command sees this machine's network, its own processes and devices, empty directories at /tmp, /dev/shm and the
    image's home, and ``mounts``. Killing the command line's process ends all that it started.

    Args:
        argv: program and arguments, as seen in the root file system.
        env: variables added to the image's environment; nothing of this process's own is passed on.
        mounts: directory of the root file system (made if missing) -> directory of this machine.
        user: user id to run as, with group 0 as containers have it.
        writable: those of ``mounts`` that may be written.

    Raises:
        HostError: the root file system can't be made.
    """
    given = [f"{key}={value}" for key, value in {**rootfs.ENVIRONMENT, **(env or {})}.items()]
    plan = [f"{source}:{target}:{'rw' if target in writable else 'ro'}" for target, source in (mounts or {}).items()]
    enter = [sys.executable, str(Path(__file__).with_name("enter.py")), str(rootfs.tree()), str(user), *plan]
    inner = ["/usr/bin/env", "-i", *given, *(str(part) for part in argv)]
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", *enter, "--", *inner]


def run(
    argv: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    mounts: Mapping[str, Path] | None = None,
    *,
    user: int = rootfs.USER_ID,
    writable: Sequence[str] = (),
    timeout: float = 600,
) -> str:
    """Run a command (see ``command``) to its end and return its standard output.

    Args:
        argv: program and arguments.
        env: variables added to the image's environment.
        mounts: directory of the root file system -> directory of this machine.
        user: user id to run as.
        writable: those of ``mounts`` that may be written.
        timeout: seconds until it is killed.

    Raises:
        HostError: it fails or runs out of time; the end of its output is in the message.
    """
    return host.run(command(argv, env, mounts, user=user, writable=writable), timeout=timeout)
