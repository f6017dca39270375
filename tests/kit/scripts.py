"""Run the chart's scripts as a pod does, with a program of the test in place of vLLM."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

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
        inside = ["bash", "-c", OWN_SHARED_MEMORY, "shm", "bash", str(SCRIPTS / script), *arguments]
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


def terminate(process: subprocess.Popen[str]) -> None:
    """Send SIGTERM to PID 1 of a script's namespace, as Kubernetes does."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    os.kill(int(children[0]), signal.SIGTERM)


def free_port() -> int:
    """Return a TCP port on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextmanager
def listening(env: Mapping[str, str], name: str = "MULTINODE_PORT") -> Iterator[socket.socket]:
    """Listen on the port in one of the pod's settings."""
    with socket.create_server(("127.0.0.1", int(env[name]))) as server:
        yield server
