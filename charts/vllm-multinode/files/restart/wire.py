"""Messages between the pods of a group: JSON objects, one a line, over a TCP connection that never blocks."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from typing import Any

LONGEST = 65536
"""Bytes of a message at most; a reason is cut long before."""
PERIOD = 1.0
"""Seconds between two messages that only say that a pod is there."""


class Wire:
    """One end of a connection.

    Attributes:
        open: whether it is of use; it is closed at the first error.
        since: when it began, by the monotonic clock.
    """

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connection."""
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open, self.since = True, time.monotonic()
        self._connection = connection
        self._rest = b""
        self._told = 0.0

    def fileno(self) -> int:
        """Return the number of the socket, for select()."""
        return self._connection.fileno()

    def send(self, **message: object) -> None:
        """Send a message. A peer that does not read any more loses the connection."""
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.close()

    def keep_alive(self) -> None:
        """Say from time to time that this pod is there."""
        if time.monotonic() - self._told >= PERIOD:
            self._told = time.monotonic()
            self.send()

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that have come; those that are not JSON objects close the connection."""
        try:
            while got := self._connection.recv(LONGEST):
                self._rest += got
                if len(self._rest) > LONGEST:
                    break
            self.close()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
        *lines, self._rest = self._rest.split(b"\n")
        messages = []
        with suppress(ValueError):
            messages = [json.loads(line) for line in lines]
        if len(messages) != len(lines) or not all(isinstance(one, dict) for one in messages):
            self.close()
            return []
        return messages

    def close(self) -> None:
        """Close the connection."""
        self.open = False
        self._connection.close()
