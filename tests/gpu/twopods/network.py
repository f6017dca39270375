"""The network of a group: each pod has a network namespace of its own, and two pods have one cable between them.

A pod's namespaces for network, host name and IPC belong to a process that sleeps, as they belong to the pause container
on a node. They outlive the pod's containers, and end with that process.
"""

from __future__ import annotations

import ctypes
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NET = 0x40000000
"""CLONE_NEWNET of setns(2)."""
PREFIX = "10.77"
"""First two bytes of the pods' addresses; the third counts the groups, as new pods have new addresses."""
NOWHERE = "02:ff:ff:ff:ff:ff"
"""An Ethernet address that no pod has."""
NSENTER, UNSHARE = (shutil.which(name) or f"/usr/bin/{name}" for name in ("nsenter", "unshare"))
SETTLE = 10
"""Seconds for a namespace to appear."""


class ProgramFailed(Exception):  # noqa: N818 - reads as what happened
    """A program of the host failed; the message has its output."""


def run(*argv: str, limit: float = 30) -> str:
    """Run a program of the host and return its standard output.

    Raises:
        ProgramFailed: it fails, is not there, or takes too long.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=limit, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramFailed(f"{' '.join(argv)}: {error}") from error
    if done.returncode:
        raise ProgramFailed(f"{' '.join(argv)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


@dataclass
class Sandbox:
    """The namespaces of a pod.

    Attributes:
        name: the pod's, which is its host name.
        address: its IPv4 address on eth0.
        hardware: its Ethernet address there.
        process: holds the namespaces.
    """

    name: str
    address: str
    hardware: str
    process: subprocess.Popen[bytes]

    @classmethod
    def make(cls, name: str, generation: int, index: int) -> Sandbox:
        """Make the namespaces of a pod.

        Args:
            name: of the pod.
            generation: number of the group, 0 to 255.
            index: of the pod in it.

        Raises:
            ProgramFailed: this user may not make namespaces.
        """
        process = subprocess.Popen([UNSHARE, "--net", "--uts", "--ipc", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        own = Path("/proc/self/ns/ipc").readlink()
        until = time.monotonic() + SETTLE
        while process.poll() is None and time.monotonic() < until:
            if Path(f"/proc/{process.pid}/ns/ipc").readlink() != own:
                break
            time.sleep(0.01)
        else:
            process.kill()
            raise ProgramFailed("unshare --net --uts --ipc: this user may not make namespaces: run as root")
        number = index + 1
        found = cls(name, f"{PREFIX}.{generation}.{number}", f"02:00:0a:4d:{generation:02x}:{number:02x}", process)
        run(NSENTER, f"--target={process.pid}", "--uts", "hostname", name)
        return found

    def inside(self, *argv: str) -> list[str]:
        """Return a command that runs in the pod's network, with the host's programs."""
        return [NSENTER, f"--target={self.process.pid}", "--net", "--", *argv]

    def ip(self, *words: str) -> str:
        """Run ``ip`` in the pod's network.

        Raises:
            ProgramFailed: it fails.
        """
        return run(*self.inside("ip", *words))

    def plug(self) -> None:
        """Give eth0 its addresses.

        Raises:
            ProgramFailed: eth0 does not exist.
        """
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", "eth0", "address", self.hardware)
        self.ip("address", "add", f"{self.address}/24", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        """Return a connection that was opened in the pod's network, as its node would open it.

        Raises:
            OSError: it is refused, or does not come in time.
        """
        found: list[socket.socket | OSError] = []

        def make() -> None:  # only this thread changes its namespace, and ends
            try:
                with Path(f"/proc/{self.process.pid}/ns/net").open() as namespace:
                    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), NET):
                        raise OSError(ctypes.get_errno(), "setns")
                found.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            except OSError as error:
                found.append(error)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        one = found[0]
        if isinstance(one, OSError):
            raise one
        one.settimeout(seconds)
        try:
            one.connect((address, port))
        except OSError:
            one.close()
            raise
        return one

    def end(self) -> None:
        """End the namespaces, if nothing else is in them."""
        self.process.kill()
        self.process.wait()


@dataclass
class Cable:
    """The cable between the two pods of a group; one pod alone has a cable that leads nowhere."""

    ends: Sequence[Sandbox]

    def plug(self) -> None:
        """Make the cable, and give the pods their addresses.

        Raises:
            ProgramFailed: a step fails.
            ValueError: there are more than two pods.
        """
        if len(self.ends) > 2:
            raise ValueError(f"{len(self.ends)} pods, and a cable has two ends")
        first, last = self.ends[0].process.pid, self.ends[-1].process.pid
        peer = "eth0" if first != last else "nowhere"
        words = f"ip link add name eth0 netns {first} type veth peer name {peer} netns {last}"
        run(*words.split())
        for end in self.ends:
            end.plug()

    def lose_packets(self) -> None:
        """Let every packet from one pod to the other vanish, as behind a switch that is gone: the link stays up."""
        self._neighbors([NOWHERE for _ in self.ends])

    def find_packets(self) -> None:
        """Undo ``lose_packets``."""
        self._neighbors([end.hardware for end in self.ends])

    def _neighbors(self, hardware: Sequence[str]) -> None:
        """Tell each end which Ethernet address the other has, by the place of that one."""
        for own, other in ((0, 1), (1, 0)):
            words = f"neigh replace {self.ends[other].address} lladdr {hardware[other]} dev eth0 nud permanent"
            self.ends[own].ip(*words.split())

    def pull(self) -> None:
        """Take the link away: both ends lose their carrier."""
        self.ends[1].ip("link", "set", "eth0", "down")

    def push(self) -> None:
        """Undo ``pull``."""
        self.ends[1].ip("link", "set", "eth0", "up")
