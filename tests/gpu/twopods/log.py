"""What a container prints, with the time of each line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO

TAIL_BYTES, TAIL_LINES = 2048, 80
"""Of a log that stands for an empty termination message (kubelet 1.36, container/runtime.go)."""
LINE_LIMIT = 20000
"""Characters of a line of the log that are kept."""


@dataclass
class Log:
    """What a container prints, with the time of each line.

    Attributes:
        lines: (seconds of the monotonic clock, text).
        heard: called with each line.
    """

    heard: Callable[[float, str], None] = lambda at, text: None
    lines: list[tuple[float, str]] = field(default_factory=list)

    def listen(self, stream: IO[bytes]) -> threading.Thread:
        """Read a stream to its end, in a thread that this returns."""
        thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        thread.start()
        return thread

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                text = raw.decode(errors="replace").rstrip("\n")[:LINE_LIMIT]
                at = time.monotonic()
                self.lines.append((at, text))
                self.heard(at, text)

    def text(self) -> str:
        """Return all lines as ``kubectl logs --timestamps`` prints them."""
        return "\n".join(f"{wall(at)} {text}" for at, text in list(self.lines))

    def tail(self) -> str:
        """Return what a kubelet takes for the termination message of a container that left none."""
        last = "\n".join(text for _, text in self.lines[-TAIL_LINES:])
        return last.encode()[-TAIL_BYTES:].decode(errors="replace")


_OFFSET = time.time() - time.monotonic()


def wall(at: float) -> str:
    """Return a time of the monotonic clock as Kubernetes writes times."""
    return datetime.fromtimestamp(at + _OFFSET, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
