"""Slows a cable down: by the kernel's netem, or by a program that passes frames on where the kernel has none."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu.twopods.network import NSENTER, UNSHARE, Cable, ProgramFailed, run

RELAY = Path(__file__).with_name("relay.py")
UNITS = {"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "us": 1e-6, "ms": 1e-3, "s": 1, "%": 1e-2}
MOST = 1e9
"""Bits per second up to which the program is as exact as netem."""
BEGIN_LIMIT = 10


@dataclass
class Slowness:
    """A cable that is slow until ``end``.

    Attributes:
        cable: that is slow.
        how: ``netem``, or ``relay``.
    """

    cable: Cable
    how: str
    process: subprocess.Popen[bytes] | None = None

    def end(self) -> None:
        """Make the cable as fast as before."""
        if self.how == "netem":
            for end in self.cable.ends:
                run(*end.inside("tc", "qdisc", "delete", "dev", "eth0", "root"))
            return
        assert self.process
        for own, other in ((0, 1), (1, 0)):
            self.cable.ends[own].ip(*f"route delete {self.cable.ends[other].address}/32 dev slow0".split())
        self.process.kill()
        self.process.wait()


def slow_down(cable: Cable, words: Sequence[str]) -> Slowness:
    """Slow both directions of a cable down.

    Args:
        cable: of two pods.
        words: netem's, such as ``delay 25ms rate 10gbit``; the relay knows delay, loss, and rate.

    Raises:
        ProgramFailed: neither netem nor the relay can do that.
        ValueError: a word has no number.
    """
    try:
        for end in cable.ends:
            run(*end.inside("tc", "qdisc", "replace", "dev", "eth0", "root", "netem", *words, "limit", "100000"))
        return Slowness(cable, "netem")
    except ProgramFailed as error:
        if "unknown" not in str(error) and "No such file" not in str(error):
            raise
        return Slowness(cable, "relay", _relay(cable, words, error))


def _relay(cable: Cable, words: Sequence[str], reason: ProgramFailed) -> subprocess.Popen[bytes]:
    """Lead the way from each pod to the other through a program."""
    settings = dict(zip(words[::2], words[1::2], strict=False))
    if settings.keys() - {"delay", "loss", "rate"}:
        raise reason
    rate = amount(settings.get("rate", "0bit"))
    if rate > MOST:
        raise ProgramFailed(f"the kernel has no netem, and the relay is not exact above {MOST:.0e} bit/s: {reason}")
    numbers = [amount(settings.get("delay", "0s")), amount(settings.get("loss", "0%")), rate]
    command = [UNSHARE, "--net", sys.executable, "-I", "-c", "import sys; sys.stdin.readline()"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        _wire(cable, holder.pid)
        inside = [NSENTER, f"--target={holder.pid}", "--net", "--", sys.executable, "-I", str(RELAY), "way0", "way1"]
        process = subprocess.Popen([*inside, *map(str, numbers)], stdout=subprocess.PIPE)
        assert process.stdout
        if process.stdout.readline().strip() != b"ready":
            raise ProgramFailed("the relay did not begin")
    finally:
        holder.kill()
        holder.wait()
    for own, other in ((0, 1), (1, 0)):
        peer, here = cable.ends[other], cable.ends[own]
        here.ip(*f"neigh replace {peer.address} lladdr {_hardware(other)} dev slow0 nud permanent".split())
    for own, other in ((0, 1), (1, 0)):
        peer, here = cable.ends[other], cable.ends[own]
        here.ip(*f"route replace {peer.address}/32 dev slow0 src {here.address}".split())
    return process


def _wire(cable: Cable, holder: int) -> None:
    """Give each pod an interface slow0, whose other end is in the network of a process."""
    own = Path("/proc/self/ns/net").readlink()
    until = time.monotonic() + BEGIN_LIMIT
    while Path(f"/proc/{holder}/ns/net").readlink() == own and time.monotonic() < until:
        time.sleep(0.01)
    for index, end in enumerate(cable.ends):
        with_other = f"link add name slow0 netns {end.process.pid} type veth peer name way{index} netns {holder}"
        run("ip", *with_other.split())
        end.ip("link", "set", "slow0", "address", _hardware(index), "up")
        run(NSENTER, f"--target={holder}", "--net", "ip", "link", "set", f"way{index}", "up")


def _hardware(index: int) -> str:
    """Return the Ethernet address of a pod's slow0."""
    return f"02:00:0a:4d:ff:{index + 1:02x}"


def amount(text: str) -> float:
    """Return an amount of netem's, such as ``25ms``, ``1%``, or ``100mbit``, in seconds, as a share, or in bit/s.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z%]+)", text)
    if not found or found[2] not in UNITS:
        raise ValueError(f"{text!r} is not an amount, such as 25ms, 1%, or 100mbit")
    return float(found[1]) * UNITS[found[2]]
