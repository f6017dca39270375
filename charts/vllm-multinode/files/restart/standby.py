"""The next run of this pod, which has imported vLLM and waits for its turn."""

from __future__ import annotations

import os

from processes import Children, all_of, kill
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
        """Start it, with the variables of the next run."""
        self.kill()
        turn, self._gate = os.pipe()  # nobody else inherits the end that is written to
        self._first = self._children.start(self._command, {**env, "MULTINODE_STANDBY": "yes"}, turn=turn)
        os.close(turn)

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
        say("vLLM has been imported ahead for this run")
        return number

    def kill(self) -> None:
        """End it, if it still waits."""
        if self._first >= 0:
            kill(all_of(self._first))
            self._first = -1
        self._open_gate()

    def _open_gate(self) -> None:
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1
