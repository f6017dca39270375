"""What this pod starts in advance of the next run: entrypoint.sh with a process that imports vLLM, and then waits."""

from __future__ import annotations

import os
import time

from processes import END_SECONDS, Children, all_of, kill
from state import say


class Standby:
    """entrypoint.sh of the next run, with the process that becomes its vLLM.

    Until its turn, it is kept apart from the engine: it lives while the engine is killed.
    """

    def __init__(self, children: Children, command: list[str]) -> None:
        """Take the command that runs one engine."""
        self._children, self._command = children, command
        self._first, self._gate = -1, -1

    def start(self, env: dict[str, str]) -> None:
        """Start it, with the variables of the next run. Without it, that run imports vLLM itself."""
        self.kill()
        try:
            turn, self._gate = os.pipe()  # no other process inherits the end that is written to
            try:
                self._first = self._children.start(self._command, {**env, "MULTINODE_STANDBY": "yes"}, turn=turn)
            finally:
                os.close(turn)
        except OSError as error:
            self.kill()
            say(f"the standby process can't be started ({error}): the next restart in place imports vLLM first")

    def look(self) -> None:
        """Say so if it has ended; the next restart then imports vLLM itself."""
        if self._first >= 0 and (status := self._children.status(self._first)) is not None:
            self.kill()
            say(f"the standby process ended with exit status {status}: the next restart in place imports vLLM first")

    def take_turn(self) -> int | None:
        """Let it go on as the engine, and return its number, or nothing if there is none."""
        self.look()
        if self._first < 0:
            return None
        number, self._first = self._first, -1
        self._children.adopt(number)
        self._open_gate()
        say("this run goes on in the standby process")
        return number

    def kill(self) -> None:
        """End it, if it still waits. Its turn must not come while a process of it is left."""
        if self._first >= 0:
            deadline = time.monotonic() + END_SECONDS
            while (left := all_of(self._first)) and time.monotonic() < deadline:
                kill(left)
                time.sleep(0.01)
                self._children.reap()
            self._children.adopt(self._first)
            self._first = -1
        self._open_gate()

    def _open_gate(self) -> None:
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1
