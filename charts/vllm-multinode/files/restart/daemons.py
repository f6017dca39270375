"""The weight daemons of this pod: ``vllm preload``, which keeps the weights in GPU memory while engines come and go.

They are started once, before the first engine, and never again: a second daemon would need the memory a second time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from collections import deque
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from processes import Children, all_of, kill

SOCKETS = "weights"
"""Directory of the daemons' sockets, in that for temporary files. With the longest name that vLLM gives a socket, the
path has 106 bytes; Linux allows 107."""
LOOK_SECONDS = 1.0
"""Seconds between two questions after the daemons' health."""
ANSWER_SECONDS = 1.0
"""Seconds until a question counts as not answered."""
SILENT_SECONDS = 20.0
"""Seconds without an answer after which daemons that were healthy count as lost."""
ERROR = re.compile(r"(Error|Exception|error): ")
"""The lines of a log that say why something failed, as failures.sh finds them."""
HARMLESS = re.compile(r" (INFO|WARNING) ")


class WeightDaemons:
    """The daemons.

    Attributes:
        healthy: whether they have held all weights of this node at the last look.
        lost: why they can't be used any more, empty as long as they can.
        errors: lines of their log that say what failed.
    """

    def __init__(self, children: Children, command: list[str], port: int, temporary: Path) -> None:
        """Take what starts them.

        Args:
            children: of this process.
            command: program and arguments that become ``vllm preload``.
            port: of the leader, where the daemons of all pods meet. Those of a draft model meet at the next one.
            temporary: directory for temporary files.
        """
        self._children, self._command, self._port = children, command, port
        self.sockets = temporary / SOCKETS
        self.healthy, self.lost = False, ""
        self.errors: list[str] = []
        self.tail: deque[str] = deque(maxlen=4)
        self._first = self._log = -1
        self._health = 0
        self._rest = b""
        self._looked = self._answered = 0.0

    @property
    def flags(self) -> list[str]:
        """What an engine needs to take its weights from them, and to fail rather than to load them a second time."""
        config = {"socket_dir": str(self.sockets), "fallback": False}
        return ["--load-format", "ipc_cache", "--model-loader-extra-config", json.dumps(config)]

    def start(self, env: dict[str, str]) -> None:
        """Start them.

        Raises:
            RuntimeError: they were started before.
        """
        if self._first >= 0:
            raise RuntimeError("weight daemons were started in this pod before")
        shutil.rmtree(self.sockets, ignore_errors=True)  # of a container before this one
        self.sockets.mkdir(mode=0o700)
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._health = server.getsockname()[1]
        self._log, end = os.pipe()
        os.set_blocking(self._log, False)
        own = {
            "weight-cache-socket-dir": self.sockets,
            "weight-cache-master-port": self._port,
            "weight-cache-draft-master-port": self._port + 1,
            "weight-cache-health-host": "127.0.0.1",
            "weight-cache-health-port": self._health,
        }
        words = [word for name, value in own.items() for word in (f"--{name}", str(value))]
        self._first = self._children.start(
            self._command, {**env, "MULTINODE_DAEMON_FLAGS": json.dumps(words)}, output=end
        )
        os.close(end)

    def look(self) -> None:
        """Pass on what they print, and learn from time to time whether they are healthy."""
        self._read()
        if self.lost or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        status = self._children.status(self._first)
        if status is not None:
            self._lose(f"exit status {status}")
            return
        answer = self._answer()
        if answer == 200:
            self.healthy, self._answered = True, time.monotonic()
        elif self.healthy and (answer or time.monotonic() - self._answered > SILENT_SECONDS):
            self._lose(f"/health answers with status {answer}" if answer else "/health does not answer")

    def check(self) -> bool:
        """Return whether they are healthy now; an answer that is older does not count."""
        self._looked = 0.0
        self.look()
        return not self.lost and self._answered >= self._looked > 0

    def kill(self) -> None:
        """End them at once. An engine that runs keeps the memory that it has mapped."""
        if self._first >= 0:
            kill(all_of(self._first))

    def _lose(self, why: str) -> None:
        self._read()
        self.healthy, self.lost = False, why
        self.kill()  # what is left of them is of no use

    def _answer(self) -> int:
        """Return the status of /health, 0 without an answer."""
        connection = HTTPConnection("127.0.0.1", self._health, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status
        except (OSError, HTTPException):
            return 0
        finally:
            connection.close()

    def _read(self) -> None:
        """Pass lines of their log on to the pod's, and keep those that say what failed."""
        while self._log >= 0:
            try:
                got = os.read(self._log, 65536)
            except BlockingIOError:
                return
            if not got:
                os.close(self._log)
                self._log = -1
            *lines, self._rest = (self._rest + got).split(b"\n")
            for line in lines:
                os.write(2, line + b"\n")
                self._keep(line.decode(errors="replace"))

    def _keep(self, line: str) -> None:
        self.tail.append(line[:400])
        if len(self.errors) < 3 and ERROR.search(line) and not HARMLESS.search(line):
            self.errors.append(line[:400])
