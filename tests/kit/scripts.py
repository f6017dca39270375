"""Run the chart's scripts as a pod does, with a program of the test in place of vLLM."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from kit.paths import CHART

SCRIPTS = CHART / "files" / "engine"
LIMIT = 40
"""Limit of a script in seconds."""
OWN_SHARED_MEMORY = 'mount -t tmpfs none /dev/shm && touch /dev/shm/left-over && exec "$@"'
"""start.sh empties /dev/shm, so it gets its own."""


class Pod:
    """Settings and programs of a pod, in which ``vllm`` is a script of the test."""

    def __init__(self, directory: Path, vllm: str = 'echo "vllm $*"', **settings: object) -> None:
        """Create a pod.

        Args:
            directory: a temporary directory.
            vllm: bash that stands for the program ``vllm``.
            settings: environment variables over those of a leader of two nodes.
        """
        self.programs = directory / "programs"
        self.programs.mkdir(exist_ok=True)
        self.program("vllm", vllm)
        self.message = directory / "termination-log"
        self.message.touch()
        self.env: dict[str, str] = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(directory / "home"),
            "TMPDIR": str(directory),
            "VLLM_HOST_IP": "127.0.0.1",
            "LWS_GROUP_SIZE": "2",
            "LWS_WORKER_INDEX": "0",
            "LWS_LEADER_ADDRESS": "localhost",
            "TERMINATION_LOG": str(self.message),
            "MULTINODE_BACKEND": "mp",
            "MULTINODE_PORT": str(free_port()),
            "MULTINODE_MASTER_PORT": "29501",
            "MULTINODE_LEADER_ADDRESS_SECONDS": "2",
            "MULTINODE_BACKOFF_SECONDS": "0",
            "MULTINODE_PRESTOP_SECONDS": "2",
            "MULTINODE_DRAIN_SECONDS": "5",
            "MULTINODE_WORKER_LOSS_SECONDS": "2",
            "MULTINODE_SERVER_HANG_SECONDS": "0",
            "MULTINODE_STALLED_SECONDS": "0",
            "MULTINODE_TICK": "0.3",
            "MULTINODE_FAILURES": str(directory / "failures"),
            **{name: str(value) for name, value in settings.items()},
        }

    def program(self, name: str, text: str) -> None:
        """Add a program to the pod's PATH."""
        path = self.programs / name
        path.write_text(f"#!{shutil.which('bash')}\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def start(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a script with its own /dev/shm."""
        return self.start_program("bash", str(SCRIPTS / script), *arguments)

    def start_program(self, *command: str) -> subprocess.Popen[str]:
        """Start a command as PID 1 with its own /dev/shm."""
        inside = ["bash", "-c", OWN_SHARED_MEMORY, "shm", *command]
        return subprocess.Popen(
            [*namespace(), *inside],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, script: str, *arguments: str) -> tuple[int, str]:
        """Run a script until it exits, and return its exit status and output."""
        with self.start(script, *arguments) as process:
            said, _ = process.communicate(timeout=LIMIT)
        return process.returncode, said


def namespace() -> list[str]:
    """Return a command prefix that runs a command as PID 1 with its own mounts and /proc."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *user, "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]


def may_have_mounts() -> None:
    """Skip a test where mount namespaces can't be created."""
    done = subprocess.run([*namespace(), "mount", "-t", "tmpfs", "none", "/dev/shm"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"start.sh empties /dev/shm, and this user may not make one of its own: {done.stderr.decode()}")


def terminate(process: subprocess.Popen[str]) -> None:
    """Send SIGTERM to PID 1 of a script's namespace, as Kubernetes does."""
    os.kill(children(process.pid)[0], signal.SIGTERM)


def inside(process: subprocess.Popen[str]) -> dict[int, list[str]]:
    """Return the processes of a script's namespace: number -> words of the command line."""
    found: dict[int, list[str]] = {}
    left = children(process.pid)
    while left:
        number = left.pop()
        with suppress(OSError):  # it ended meanwhile
            found[number] = Path(f"/proc/{number}/cmdline").read_text(encoding="utf-8").split("\0")[:-1]
            left += children(number)
    return found


def children(number: int) -> list[int]:
    """Return the children of a process."""
    return [int(child) for child in Path(f"/proc/{number}/task/{number}/children").read_text(encoding="ascii").split()]


def until(true: Callable[[], bool], limit: float) -> bool:
    """Return whether something becomes true within some seconds."""
    end = time.monotonic() + limit
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def free_port() -> int:
    """Return a TCP port on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def free_ports(count: int) -> int:
    """Return the first of some TCP ports that follow each other, on none of which a process listens."""
    while True:
        first = free_port()
        with ExitStack() as stack, suppress(OSError, OverflowError):
            for port in range(first + 1, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


@contextmanager
def listening(env: Mapping[str, str], name: str = "MULTINODE_PORT") -> Iterator[socket.socket]:
    """Listen on the port in one of the pod's settings."""
    with socket.create_server(("127.0.0.1", int(env[name]))) as server:
        yield server
