"""A slow cable, for kernels without netem: passes frames between two interfaces, later, slower, and not all of them.

Usage: ``python3 -I relay.py FIRST SECOND DELAY LOSS RATE`` with two interfaces of this network namespace, seconds, a
share from 0 to 1, and bits per second (0 for no limit). It says ``ready`` when it passes frames on. Frames keep the
header of virtio, so that those of up to 64 KiB, which the kernel would cut into packets later, stay whole. They are
lost whole, as with netem. Needs only the standard library.
"""

from __future__ import annotations

import random
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field

EVERY_PROTOCOL = 3
"""ETH_P_ALL of packet(7)."""
PACKET, VIRTIO_HEADER, OUTGOING = 263, 15, 4
"""SOL_PACKET, PACKET_VNET_HDR, and PACKET_OUTGOING of packet(7)."""
LARGEST = 2**17
"""Bytes of a frame, with its header."""
BUFFER = 2**25
"""Bytes that the kernel keeps for a socket."""
QUEUED = 20_000
"""Frames that wait in one direction; more are lost."""


@dataclass
class Direction:
    """Frames that go from one interface to the other."""

    source: socket.socket
    target: socket.socket
    delay: float
    loss: float
    rate: float
    queue: deque[tuple[float, bytes]] = field(default_factory=deque)
    free: float = 0.0

    def take(self) -> None:
        """Take all frames that are there."""
        while True:
            try:
                frame, (_, _, kind, *_) = self.source.recvfrom(LARGEST)
            except BlockingIOError:
                return
            if kind == OUTGOING or random.random() < self.loss or len(self.queue) >= QUEUED:
                continue
            now = time.monotonic()
            self.free = max(self.free, now) + (len(frame) * 8 / self.rate if self.rate else 0)
            self.queue.append((self.free + self.delay, frame))

    def give(self) -> float:
        """Send what is due, and return the seconds until the next frame is."""
        while self.queue:
            left = self.queue[0][0] - time.monotonic()
            if left > 0:
                return left
            try:
                self.target.send(self.queue[0][1])
            except BlockingIOError:
                return 0.001
            except OSError:  # the interface is down, or a frame has another form: it is lost
                pass
            self.queue.popleft()
        return 1.0


def opened(name: str) -> socket.socket:
    """Return a socket for all frames of an interface."""
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    one.setsockopt(PACKET, VIRTIO_HEADER, 1)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        one.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    one.bind((name, EVERY_PROTOCOL))
    one.setblocking(False)
    return one


def main(first: str, second: str, delay: float, loss: float, rate: float) -> None:
    """Pass frames on until killed."""
    ends = [opened(first), opened(second)]
    ways = [Direction(one, other, delay, loss, rate) for one, other in (ends, ends[::-1])]
    print("ready", flush=True)
    while True:
        wait = min(way.give() for way in ways)
        readable, _, _ = select.select(ends, [], [], wait)
        for way in ways:
            if way.source in readable:
                way.take()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))
