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

COMMANDS = 100
"""Commands until the process is started again: Helm keeps something of each one, which takes memory and then time."""


class HelmEndedError(Exception):
    """The process has ended instead of answering."""


def without_clusters(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the caller's settings of Helm and of clusters."""
    return {name: value for name, value in env.items() if not name.startswith(("HELM_", "KUBE"))}


class HelmServer:
    """A process that runs Helm's commands, one after the other, in a home directory of their own."""

    def __init__(self) -> None:
        """Start no process yet."""
        self._process: subprocess.Popen[str] | None = None
        self._commands = 0
        self._lock = Lock()
        self._home = tempfile.TemporaryDirectory()

    def run(self, arguments: Sequence[str], limit: float) -> Done:
        """Run a command.

        Args:
            arguments: those of ``helm``.
            limit: seconds, after which the process is killed.

        Raises:
            HelmEndedError: the time was over, or the process has ended by itself.
        """
        command = json.dumps({"directory": str(Path.cwd()), "arguments": arguments})
        with self._lock:
            if self._commands % COMMANDS == 0 or not self._process or self._process.poll() is not None:
                self._end()
                self._process = self._start()
            self._commands += 1
            try:
                return Done(**json.loads(_ask(self._process, command, limit)))
            except BaseException as error:  # an answer that nothing reads would be the next command's
                self._end()
                if isinstance(error, ValueError):
                    said = f"no answer: not finished after {limit:.0f} s, or Helm has failed, see above"
                    raise HelmEndedError(f"helm {' '.join(arguments)}: {said}") from error
                raise

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


def _ask(process: subprocess.Popen[str], command: str, limit: float) -> str:
    """Return the line that answers a command, nothing if there is none within ``limit`` seconds."""
    assert process.stdin and process.stdout
    timer = Timer(limit, process.kill)
    timer.start()
    try:
        with suppress(BrokenPipeError):
            print(command, file=process.stdin, flush=True)
        return process.stdout.readline()
    finally:
        timer.cancel()


@cache
def helm_server() -> HelmServer:
    """Return the server of this process, which ends with it."""
    server = HelmServer()
    atexit.register(server.end)
    return server
