"""The machine underneath: running programs, saying what goes on, and what must be there first."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from localcluster import progress, versions

DEBIAN_PACKAGES: Mapping[str, str] = {
    "ip": "iproute2",
    "nft": "nftables",
    "iptables": "iptables",
    "runc": "runc",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
}
"""Program looked for -> Debian package that brings it."""


CHECKOUT = Path(__file__).resolve().parent.parent.parent


class HostError(Exception):
    """Something that this machine lacks or a program that failed; the message says what to do."""


def make_hint(target: str) -> str:
    """Return the make command for a target that works where the reader is, in the checkout or not, and as this one."""
    elsewhere = Path(os.environ.get("PWD") or Path.cwd()).resolve() != CHECKOUT
    return f"make -s {f'-C {shlex.quote(str(CHECKOUT))} ' if elsewhere else ''}{target}{versions.CHOSEN.make_option}"


def env_hint() -> str:
    """Return the shell line that puts the programs on PATH and sets KUBECONFIG."""
    return f'eval "$({make_hint("env")})"'


def say(message: str) -> None:
    """Print one progress line on standard error."""
    progress.line(message)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step and, when it ends, how many seconds it took."""
    say(f"==> {title}")
    start = time.monotonic()
    with progress.current(title):
        yield
    say(f"    {title}: done in {time.monotonic() - start:.1f} s")


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = 600,
    heard: Callable[[str], None] | None = None,
) -> str:
    """Run a program without a shell and return its standard output.

    The program has a process group of its own, which ends when this process is interrupted or the time is up.

    Args:
        argv: program and arguments.
        cwd: directory to run in.
        env: variables added to this process's environment.
        stdin: text for its standard input.
        timeout: seconds until it is killed.
        heard: called with each line of its standard error, as it comes.

    Raises:
        HostError: it can't be started, fails or runs out of time; the end of its output is in the message.
    """
    command = [str(part) for part in argv]
    with _Errors(heard) as errors:
        try:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors.target,
                text=True,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise HostError(f"{command[0]}: no such program") from error
        try:
            _programs.add(process)
            if _stopped.is_set():
                raise HostError(f"{command[0]}: not started, as the command is being stopped")
            output, _ = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise HostError(f"{' '.join(command)}: no end after {timeout:.0f} s") from error
        finally:
            _end(process)
            _programs.discard(process)
            for stream in filter(None, (process.stdin, process.stdout)):
                stream.close()
    if process.returncode != 0:
        tail = (errors.text() or output).strip()[-2000:]
        raise HostError(f"{' '.join(command)}: exit {process.returncode}\n{tail}")
    return output


_programs: set[subprocess.Popen[str]] = set()
_stopped = threading.Event()
_END_TIMEOUT_S = 5


def stop_programs() -> None:
    """End every program that ``run`` has started and waits for, in any thread, and start none until further notice."""
    _stopped.set()
    for process in list(_programs):
        _end(process)


def is_stopping() -> bool:
    """Return whether no program starts because the command is being stopped."""
    return _stopped.is_set()


def allow_programs() -> None:
    """Let ``run`` start programs again."""
    _stopped.clear()


def _end(process: subprocess.Popen[str]) -> None:
    """End a program that still runs, and what it has started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, sign)
            process.wait(_END_TIMEOUT_S)


class _Errors:
    """A program's standard error: kept, and passed on line by line to who wants to hear it."""

    def __init__(self, heard: Callable[[str], None] | None) -> None:
        self._heard = heard
        self._kept: list[str] = []

    def __enter__(self) -> _Errors:
        source, self.target = os.pipe()
        self._listener = threading.Thread(target=self._listen, args=(os.fdopen(source, errors="replace"),), daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.target)
        self._listener.join(_END_TIMEOUT_S)  # a daemon of the program may keep it open for good

    def _listen(self, source: IO[str]) -> None:
        with source:
            for line in source:
                self._kept = [*self._kept[-200:], line]
                if self._heard:
                    self._heard(line.rstrip())

    def text(self) -> str:
        """Return the last lines."""
        return "".join(self._kept)


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
        HostError: something is missing, and apt-get does not exist or fails.
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
