"""The machine underneath: running programs, saying what goes on, and what must be there first."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

DEBIAN_PACKAGES: Mapping[str, str] = {
    "ip": "iproute2",
    "nft": "nftables",
    "iptables": "iptables",
    "runc": "runc",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
}
"""Program looked for -> Debian package that brings it."""


class HostError(Exception):
    """Something that this machine lacks or a program that failed; the message says what to do."""


def say(message: str) -> None:
    """Print one progress line on standard error."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step and, when it ends, how many seconds it took."""
    say(f"==> {title}")
    start = time.monotonic()
    yield
    say(f"    {title}: done in {time.monotonic() - start:.1f} s")


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = 600,
) -> str:
    """Run a program without a shell and return its standard output.

    Args:
        argv: program and arguments.
        cwd: folder to run in.
        env: variables added to this process's environment.
        stdin: text for its standard input.
        timeout: seconds until it is killed.

    Raises:
        HostError: it can't be started, fails or runs out of time; the end of its output is in the message.
    """
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(f"{command[0]}: no such program") from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{' '.join(command)}: no end after {timeout:.0f} s") from error
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip()[-2000:]
        raise HostError(f"{' '.join(command)}: exit {done.returncode}\n{tail}")
    return done.stdout


def require_linux_root() -> None:
    """Refuse what the local cluster can't do.

    Raises:
        HostError: this is not Linux on x86-64, or not root.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise HostError(
            f"the local cluster needs Linux on x86-64, this is {sys.platform} on {platform.machine()}. "
            "Use any cluster instead: set KUBECONFIG (docs/local-cluster.md)."
        )
    if os.geteuid() != 0:
        raise HostError(
            "the local cluster makes network namespaces and mounts, so it needs root. "
            "Run it with sudo, or set KUBECONFIG to a cluster of yours (docs/local-cluster.md)."
        )


def require_packages() -> None:
    """Install what is missing of DEBIAN_PACKAGES.

    Raises:
        HostError: something is missing and there is no apt-get, or apt-get fails.
    """
    missing = sorted({package for program, package in DEBIAN_PACKAGES.items() if not shutil.which(program)})
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise HostError(f"please install {', '.join(missing)}: this machine has no apt-get to do it with")
    with step(f"installing {', '.join(missing)}"):
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], env=env)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=env)
