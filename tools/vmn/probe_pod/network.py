"""Names and connections between the pods of a probe: to pod 0 on the rendezvous port, and back on any port."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIAL_SECONDS = 3
"""Seconds for one connection, as in the chart's scripts."""
SILENCE_SECONDS = 20
"""Seconds for which pod 0 may be silent once its address is known. A pod that still pulls its image refuses instead."""
SIOCGIFADDR = 0x8915
"""Request for the IPv4 address of an interface (netdevice(7))."""

now = time.monotonic


def resolve(name: str, deadline: float) -> dict[str, Any]:
    """Return the address of a name, and the seconds until it resolved; a pod's name resolves once it has an address."""
    begun, why = now(), ""
    while True:
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            return {"name": name, "address": found[0][4][0], "seconds": now() - begun, "error": None}
        except OSError as error:
            why = str(error.strerror)
        if now() + 1 > deadline:
            return {"name": name, "address": None, "seconds": now() - begun, "error": why}
        time.sleep(1)


def route(address: str) -> dict[str, Any]:
    """Return the interface that leads to an address or has it, and all interfaces."""
    names = [name for _, name in socket.if_nameindex()]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # sends nothing; the kernel picks the source by its routes
            source = probe.getsockname()[0]
    except OSError as error:
        return {"to": address, "interface": None, "interfaces": names, "error": str(error.strerror)}
    own = next((name for name in names if source in _addresses(name)), None)
    return {"to": address, "interface": own, "interfaces": names, "source": source, "error": None}


def _addresses(interface: str, table: str = "/proc/net/if_inet6") -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket, contextlib.suppress(OSError):
        asked = struct.pack("256s", interface[:15].encode())
        yield socket.inet_ntoa(fcntl.ioctl(any_socket.fileno(), SIOCGIFADDR, asked)[20:24])
    with contextlib.suppress(OSError):
        for line in Path(table).read_text(encoding="ascii").splitlines():
            if line.split()[-1] == interface:
                yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0]))


@dataclass(frozen=True)
class Member:
    """A pod of the probe.

    Attributes:
        rank: index of the pod; all others connect to 0.
        host: address of the pod, as vLLM announces it.
        nodes: number of pods.
        port: rendezvous port.
        deadline: time at which to stop, by this process's clock.
    """

    rank: int
    host: str
    nodes: int
    port: int
    deadline: float

    @contextlib.contextmanager
    def meeting_point(self) -> Iterator[socket.socket | OSError]:
        """Listen at once, on the rendezvous port in pod 0 and on any port in others; yield the error if that fails."""
        try:
            server = listen(self.host, self.port if self.rank == 0 else 0)
        except OSError as error:
            yield error
            return
        with server:
            yield server

    def meet(self, server: socket.socket | OSError, leader: str | None) -> dict[str, Any]:
        """Connect to the others, and return who connected, or how it went."""
        if isinstance(server, OSError):
            return {"listen": f"{self.host}:{self.port}", "error": str(server.strerror), "heard": []}
        return self._lead(server) if self.rank == 0 else self._join(server, leader)

    def _lead(self, server: socket.socket) -> dict[str, Any]:
        heard: set[int] = set()
        while len(heard) < self.nodes - 1 and now() < self.deadline:
            server.settimeout(max(0.1, self.deadline - now()))
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # other programs may connect here, too
                heard.add(_greet(server.accept()[0]))
        return {"listen": f"{self.host}:{self.port}", "error": None, "heard": sorted(heard)}

    def _join(self, server: socket.socket, leader: str | None) -> dict[str, Any]:
        answer: dict[str, Any] = {"to": f"{leader}:{self.port}", "seconds": None, "error": None, "back": None}
        if leader is None:
            return {**answer, "error": "the name of pod 0 has no address"}
        begun = now()
        dialled = reach(leader, self.port, self.deadline)
        if isinstance(dialled, OSError):
            return {**answer, "error": str(dialled.strerror or dialled)}
        answer["seconds"] = now() - begun
        mine = server.getsockname()[1]
        with dialled, dialled.makefile("rw", encoding="utf-8") as stream:
            dialled.settimeout(max(1, self.deadline - now()))  # pod 0 may be busy with other checks
            try:
                print(json.dumps({"rank": self.rank, "host": self.host, "port": mine}), file=stream, flush=True)
                reply = json.loads(stream.readline() or '{"error": "pod 0 closed the connection"}')
            except OSError as error:
                return {**answer, "error": f"connected, and then: {error.strerror or error}"}
        return {**answer, "from": f"{self.host}:{mine}", "back": reply["error"]}


def _greet(connection: socket.socket) -> int:
    """Connect back to the pod that has connected, tell it how that went, and return its rank."""
    connection.settimeout(DIAL_SECONDS)
    with connection, connection.makefile("rw", encoding="utf-8") as stream:
        who = json.loads(stream.readline())
        try:
            socket.create_connection((who["host"], who["port"]), DIAL_SECONDS).close()
            failed = None
        except OSError as error:
            failed = str(error.strerror or error)
        print(json.dumps({"error": failed}), file=stream, flush=True)
    return int(who["rank"])


def listen(host: str, port: int) -> socket.socket:
    """Listen at an address, as vLLM does.

    Raises:
        OSError: the address does not exist, or the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=64)


def reach(host: str, port: int, deadline: float) -> socket.socket | OSError:
    """Connect until a server listens, and return the connection, or the last error."""
    silent_since = None
    while True:
        try:
            return socket.create_connection((host, port), DIAL_SECONDS)
        except OSError as error:
            failed = error
        refused = failed.errno == errno.ECONNREFUSED  # the pod exists, but does not listen yet
        silent_since = None if refused else silent_since or now()
        if now() + 1 > deadline or (silent_since and now() - silent_since > SILENCE_SECONDS):
            return failed
        time.sleep(1)
