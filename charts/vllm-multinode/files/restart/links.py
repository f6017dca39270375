"""How the pods of a group tell each other what has happened: the workers connect to the leader, which decides."""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agreement import Agreement, Order
from wire import Wire

FOREIGN = "the leader belongs to another group than this pod"
TICK = 0.1
"""Seconds between two looks at the other pods and this pod's processes."""
GREETING_SECONDS = 5
"""Seconds in which a connection must say which pod it is of."""


class LeaderLink:
    """The leader's end, and the agreement."""

    def __init__(self, agreement: Agreement, address: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the port is in use.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._server = socket.create_server((address, port), family=family, backlog=64)
        self._server.setblocking(False)
        self._agreement = agreement
        self._name = secrets.token_hex(8)  # a group that is recreated has pods of the same names
        self._new: list[Wire] = []
        self._wires: dict[int, Wire] = {}
        self._orders: list[Order] = []

    @property
    def connected(self) -> bool:
        """Whether somebody decides."""
        return True

    def close(self) -> None:
        """Close the port and all connections."""
        self._server.close()
        for wire in (*self._new, *self._wires.values()):
            wire.close()

    def report(self, **message: Any) -> None:
        """Note what has happened in the leader's own pod."""
        self._note(0, message)

    def poll(self, seconds: float) -> Iterator[Order]:
        """Wait for messages at most so many seconds, and yield the orders for all pods."""
        self._drop_closed()
        ends: list[Wire | socket.socket] = [self._server, *self._new, *self._wires.values()]
        ready, _, _ = select.select(ends, [], [], seconds)
        if self._server in ready:
            self._accept()
        for wire in list(self._new):
            if wire in ready:
                self._greet(wire, wire.receive())
        for rank, wire in list(self._wires.items()):
            for message in wire.receive() if wire in ready else []:
                self._note(rank, message)
            wire.keep_alive()
        self._drop_closed()
        self._agreement.heard(0, time.monotonic())
        self._orders += self._agreement.tick(time.monotonic())
        orders, self._orders = self._orders, []
        for order in orders:
            for wire in self._wires.values():
                wire.send(**asdict(order))
            yield order

    def _drop_closed(self) -> None:
        latest = time.monotonic() - GREETING_SECONDS
        self._new = [wire for wire in self._new if wire.open and wire.since > latest]
        for rank, wire in list(self._wires.items()):
            if not wire.open:
                del self._wires[rank]
                self._agreement.lost(rank)

    def _accept(self) -> None:
        try:
            connection, _ = self._server.accept()
        except OSError:  # it is closed already
            return
        self._new.append(Wire(connection))

    def _greet(self, wire: Wire, messages: list[dict[str, Any]]) -> None:
        """Take a worker of this group, and refuse one of a group that is gone, and others."""
        self._new.remove(wire)
        hello = messages[0] if messages else {}
        rank = hello.get("hello")
        if not isinstance(rank, int) or not 0 < rank < self._agreement.size:
            wire.close()
            return
        if hello.get("group") not in ("", self._name):
            wire.send(refused=FOREIGN)
            wire.close()
            return
        if before := self._wires.pop(rank, None):
            before.close()
        self._wires[rank] = wire
        wire.send(welcome=self._name)
        self._agreement.heard(rank, time.monotonic())
        for message in messages[1:]:
            self._note(rank, message)

    def _note(self, rank: int, message: dict[str, Any]) -> None:
        now = time.monotonic()
        self._agreement.heard(rank, now)
        run = message.get("run", -1)
        if message.get("leaving"):
            self._agreement.leaving(rank)
        elif "unkept" in message:
            self._agreement.unkept(rank, str(message["unkept"]))
        elif "ended" in message:
            self._orders += self._agreement.ended(rank, run, str(message["ended"]), now)
        elif message.get("stopped"):
            self._agreement.stopped(rank, run, bool(message.get("measured")))
        elif message.get("served") and rank == 0:
            self._orders += self._agreement.served(now)


class WorkerLink:
    """A worker's end."""

    def __init__(self, rank: int, leader: Path, port: int) -> None:
        """Connect later.

        Args:
            rank: of this pod.
            leader: file into which start.sh writes the leader's address.
            port: on which the leader listens.
        """
        self._rank, self._leader, self._port = rank, leader, port
        self._wire: Wire | None = None
        self._name = ""
        self._tried = 0.0
        self._refused = False

    @property
    def connected(self) -> bool:
        """Whether the leader decides."""
        return self._wire is not None and self._wire.open

    def close(self) -> None:
        """Close the connection."""
        if self._wire:
            self._wire.close()

    def report(self, **message: Any) -> None:
        """Tell the leader what has happened in this pod."""
        if self._wire:
            self._wire.send(**message)

    def poll(self, seconds: float) -> Iterator[Order]:
        """Wait for orders of the leader at most so many seconds, and yield them."""
        if not self.connected and not self._refused:
            self._connect()
        if not self._wire or not self._wire.open:
            time.sleep(seconds)
            return
        messages = self._wire.receive() if select.select([self._wire], [], [], seconds)[0] else []
        self._wire.keep_alive()
        for message in messages:
            self._name = message.get("welcome", self._name)
            self._refused = self._refused or "refused" in message
            if "verb" in message:
                yield Order(**message)

    def _connect(self) -> None:
        if time.monotonic() - self._tried < 1:
            return
        self._tried = time.monotonic()
        try:
            address = self._leader.read_text(encoding="ascii").strip()
            self._wire = Wire(socket.create_connection((address, self._port), timeout=1))
        except OSError:  # it is not there yet
            return
        self._wire.send(hello=self._rank, group=self._name)
