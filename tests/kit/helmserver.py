"""Helm in one process for many commands: each start of Helm prepares for a third of the time of ``helm template``."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock, Timer

from localcluster.programs import program
from vmn.adapters.programs import Done


def without_clusters(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the caller's settings of Helm and of clusters."""
    return {name: value for name, value in env.items() if not name.startswith(("HELM_", "KUBE"))}


class HelmServer:
    """A process that runs Helm's commands, one after the other, with an empty home directory."""

    def __init__(self) -> None:
        """Start no process yet."""
        self._process: subprocess.Popen[str] | None = None
        self._lock = Lock()
        self._home = tempfile.TemporaryDirectory()

    def run(self, arguments: Sequence[str], limit: float) -> Done:
        """Run a command.

        Args:
            arguments: those of ``helm``.
            limit: seconds, after which the process is killed.

        Raises:
            TimeoutError: the time was over.
        """
        command = json.dumps({"directory": str(Path.cwd()), "arguments": arguments})
        with self._lock:
            process = self._process = self._process or self._start()
            timer = Timer(limit, process.kill)
            timer.start()
            with suppress(BrokenPipeError):
                print(command, file=process.stdin, flush=True)
            line = process.stdout.readline() if process.stdout else ""
            timer.cancel()
            if not line:
                self._end()
                raise TimeoutError(f"helm {' '.join(arguments)}: no answer within {limit:.0f} s")
        return Done(**json.loads(line))

    def end(self) -> None:
        """End the process, and remove its home directory."""
        self._end()
        self._home.cleanup()

    def _start(self) -> subprocess.Popen[str]:
        env = {**without_clusters(os.environ), "HOME": self._home.name, "GOGC": "400"}
        return subprocess.Popen([program("helm-server")], stdin=-1, stdout=-1, text=True, env=env)

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
        self._process = None


@cache
def helm_server() -> HelmServer:
    """Return the server of this process, which ends with it."""
    server = HelmServer()
    atexit.register(server.end)
    return server
