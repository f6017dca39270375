"""The processes of this pod: the engine, of which never two may run, and what is kept apart from it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
END_SECONDS = 5
"""Seconds for processes to end that came after all others had ended; PID 1 does nothing else meanwhile."""


class Children:
    """The processes that this one has started. As PID 1, it also gets those that lose their parent."""

    def __init__(self) -> None:
        """Have none."""
        self._statuses: dict[int, int | None] = {}
        self._apart: set[int] = set()

    def start(
        self, command: list[str], env: dict[str, str], *, output: int | None = None, turn: int | None = None
    ) -> int:
        """Start a process, and return its number.

        With one of the last two arguments, it gets a session of its own, to which all processes that it starts belong,
        and is kept apart from the engine.

        Args:
            command: program and arguments.
            env: its variables.
            output: file descriptor for what it prints.
            turn: file descriptor that reaches its end when the process may go on, its standard input.
        """
        given = {0: turn, 1: output, 2: output}
        actions = [(os.POSIX_SPAWN_DUP2, own, number) for number, own in given.items() if own is not None]
        apart = bool(actions)
        number = os.posix_spawnp(
            command[0], command, env, file_actions=actions, setsigdef=[signal.SIGPIPE], setsid=apart
        )
        self._statuses[number] = None
        if apart:
            self._apart.add(number)
        return number

    def adopt(self, number: int) -> None:
        """Stop keeping a process apart from the engine."""
        self._apart.discard(number)

    def reap(self) -> None:
        """Take note of processes that have ended."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] in self._statuses:
                    code = os.waitstatus_to_exitcode(ended[1])
                    self._statuses[ended[0]] = code if code >= 0 else 128 - code

    def status(self, number: int) -> int | None:
        """Return the exit status of a process that was started, as a shell counts it, and nothing while it runs."""
        self.reap()
        return self._statuses[number]

    def beside(self) -> set[int]:
        """Return the numbers of all processes below this one, without those that are kept apart."""
        self.reap()
        places = _places()
        own = {number for first in self._apart for number in _of_session(first, places)}
        return _below({os.getpid()}, places, own)


def all_of(first: int) -> set[int]:
    """Return the numbers of a process that is kept apart, and of those that it has started."""
    places = _places()
    own = _of_session(first, places)
    return own | _below(own, places, set())


def kill(numbers: set[int]) -> None:
    """Kill processes."""
    for number in numbers:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


class EngineProcesses:
    """The engine: entrypoint.sh with everything that it starts.

    Attributes:
        status: exit status of entrypoint.sh, None while it runs or before it was started.
    """

    def __init__(self, command: list[str], children: Children) -> None:
        """Take the command that runs one engine."""
        self._command, self._children = command, children
        self._first: int | None = None
        self.status: int | None = None

    @property
    def runs(self) -> bool:
        """Whether entrypoint.sh runs."""
        return self._first is not None and self.status is None

    def start(self, env: dict[str, str], ready: Callable[[], int | None] = lambda: None) -> None:
        """Start the engine once no process is left: a probe that was ended may have left one since the last look.

        Args:
            env: its variables.
            ready: returns the number of a process that goes on as the engine, if there is one.

        Raises:
            RuntimeError: one does not end.
        """
        deadline = time.monotonic() + END_SECONDS
        while self.left():
            if time.monotonic() > deadline:
                raise RuntimeError("a process of this pod does not end")
            self.kill()
            time.sleep(0.01)
        self.status = None
        self._first = ready() or self._children.start(self._command, env)

    def signal(self, number: signal.Signals) -> None:
        """Pass a signal on to entrypoint.sh."""
        if self.runs and self._first:
            with suppress(ProcessLookupError):
                os.kill(self._first, number)

    def kill(self) -> None:
        """Kill all processes. Those that they start meanwhile are left: call this until none is left."""
        kill(self.left())

    def reap(self) -> None:
        """Take note of processes that have ended."""
        if self._first is not None:
            self.status = self._children.status(self._first)

    def left(self) -> set[int]:
        """Return the numbers of the engine's processes."""
        self.reap()
        return self._children.beside()


def being_deleted() -> bool:
    """Return whether Kubernetes runs the preStop hook: it is deleting this pod."""
    return any(b"/prestop.sh" in _read(number, "cmdline") for number in _numbers())


def _numbers() -> list[int]:
    return [int(path.name) for path in PROC.iterdir() if path.name.isdigit()]


def _places() -> dict[int, tuple[int, int]]:
    """Return the parent of each process, and its session."""
    found = {}
    for number in _numbers():
        fields = _read(number, "stat").rpartition(b")")[2].split()
        if len(fields) > 3:
            found[number] = int(fields[1]), int(fields[3])
    return found


def _of_session(first: int, places: dict[int, tuple[int, int]]) -> set[int]:
    return {number for number, (_, session) in places.items() if session == first}


def _below(roots: set[int], places: dict[int, tuple[int, int]], without: set[int]) -> set[int]:
    """Return the numbers of all processes below some, without some others and those below them."""
    found: set[int] = set()
    newest = roots
    while newest:
        newest = {number for number, (parent, _) in places.items() if parent in newest} - without - found
        found |= newest
    return found


def _read(number: int, name: str) -> bytes:
    try:
        return (PROC / str(number) / name).read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
