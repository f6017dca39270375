"""One line that says what is done, what runs, and about how long it still takes; and the lines that stay above it.

On a terminal the line is rewritten every second. Elsewhere it is printed when something begins or ends, and every
quarter of a minute.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

_TICK_S = 1
_REPEAT_S = 15
"""Off a terminal: seconds after which the line is printed again though nothing has changed."""

_PRIOR_S = 30
"""Seconds of work at the expected speed that count beside what was measured, so that the first estimate is calm."""

_WIDTH = 118
_lock = threading.RLock()


@dataclass
class Board:
    """What a command has to do, with how much of each part is done.

    Attributes:
        expected: part -> seconds that it takes on two cores, as part of the whole.
        done: parts that have ended, in order.
        running: part -> share of it that is done, 0 to 1, and words for the reader.
    """

    expected: Mapping[str, float]
    done: list[str] = field(default_factory=list)
    running: dict[str, tuple[float, str]] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)

    def remaining(self, now: float) -> float:
        """Return the seconds that are likely left, by the speed so far.

        Args:
            now: time of ``time.monotonic``.
        """
        total = sum(self.expected.values())
        finished = sum(self.expected.get(name, 0) for name in self.done)
        finished += sum(self.expected.get(name, 0) * share for name, (share, _) in self.running.items())
        speed = (finished + _PRIOR_S) / (now - self.begun + _PRIOR_S)
        return max(total - finished, 0) / speed

    def text(self, now: float) -> str:
        """Return the line, cut to the width of a terminal."""
        parts = [f"{name} {words}".strip() for name, (_, words) in self.running.items()]
        seconds = int(now - self.begun)
        start = f"{seconds // 60:3}:{seconds % 60:02}  {len(self.done)} of {len(self.expected)} done"
        end = f"about {_rounded(self.remaining(now))} left"
        room = _WIDTH - len(start) - len(end) - len("; running: ; ")
        shown = ", ".join(parts) or "the next part"
        return f"{start}; running: {shown if len(shown) <= room else shown[: room - 1] + '…'}; {end}"


_board: Board | None = None


@contextmanager
def board(expected: Mapping[str, float]) -> Iterator[Board]:
    """Show the line while the block runs; a board that is there already goes on instead.

    Args:
        expected: part -> seconds that it takes on two cores.
    """
    global _board
    if _board is not None:
        yield _board
        return
    _board = Board(expected)
    ended = threading.Event()
    ticker = threading.Thread(target=_tick, args=(_board, ended), daemon=True)
    ticker.start()
    try:
        yield _board
    finally:
        ended.set()
        ticker.join()
        _board = None
        _clear()


@contextmanager
def current(name: str) -> Iterator[None]:
    """Count a part of the board as running while the block runs, and as done after; other names change nothing."""
    shown = _board
    if shown is None or name not in shown.expected:
        yield
        return
    with _lock:
        shown.running[name] = (0.0, "")
    yield
    with _lock:
        del shown.running[name]
        shown.done.append(name)


def advance(name: str, share: float, words: str = "") -> None:
    """Say how much of a running part is done.

    Args:
        name: the part.
        share: 0 to 1.
        words: such as ``812 of 1530 packages``.
    """
    with _lock:
        if _board is not None and name in _board.running:
            _board.running[name] = (min(share, 1.0), words)


def line(message: str) -> None:
    """Print a line that stays, on standard error."""
    with _lock:
        _clear()
        print(message, file=sys.stderr, flush=True)


def _clear() -> None:
    if _board is not None and sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _tick(shown: Board, ended: threading.Event) -> None:
    told: tuple[int, tuple[str, ...]] = (-1, ())
    last = time.monotonic()
    while not ended.wait(_TICK_S):
        with _lock:
            now, state = time.monotonic(), (len(shown.done), tuple(shown.running))
            text = shown.text(now)
            if sys.stderr.isatty():
                print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
            elif state != told or now - last >= _REPEAT_S:
                print(text, file=sys.stderr, flush=True)
                told, last = state, now


def _rounded(seconds: float) -> str:
    """Return a time as coarse as it is known."""
    if seconds < 10:
        return "10 s"
    if seconds < 90:
        return f"{10 * round(seconds / 10)} s"
    return f"{round(seconds / 60)} min"
