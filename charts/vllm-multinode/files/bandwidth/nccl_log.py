"""What NCCL's own log says about the way that data takes. The forms are those of NCCL 2.30.7.

src/transport/net.cc, p2p.cc, and shm.cc print a line for each channel at level INFO, subsystem INIT; src/init.cc prints
the network that a communicator uses.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

CHANNEL = re.compile(
    r"(?:Channel|CollNet) \d+(?:/\d+)? : (\d+)(?:\[\d+\])? (?:-> (\d+)\[\d+\] )?(?:\[\w+\] )?via (.+)$"
)
"""A channel: one rank, the other one, and the transport."""
NET = re.compile(r"^(NET|COLLNET)/([^/]+)/\d+(?:\(\d+\))?(/GDRDMA)?")
"""A network, its number, the rank of the proxy, and whether the adapter reads the GPU's memory itself."""
DETAILS = re.compile(r"(/read|/CE|/\d+\[\d+\])+$")
USING = re.compile(r"NCCL INFO Using network (.+)$")
WARNING = re.compile(r"NCCL WARN (.+)$")
SETTINGS = {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,NET"}


def to_file(path: Path) -> None:
    """Let NCCL, which has not been initialized yet, write its log to a file."""
    os.environ.update({**SETTINGS, "NCCL_DEBUG_FILE": str(path)})


def transports(log: str, node_of: Callable[[int], str]) -> tuple[list[str], list[str]]:
    """Return the transports between nodes, and within them, each once and in the order of their first line.

    Args:
        log: NCCL's log of one rank, of a communicator of all ranks.
        node_of: returns the node of a rank.
    """
    between: dict[str, None] = {}
    within: dict[str, None] = {}
    for one, other, transport in _channels(log):
        apart = other is None or node_of(one) != node_of(other)
        (between if apart else within)[transport] = None
    if not between and not within:
        between = {f"NET/{name}": None for name in dict.fromkeys(_found(USING, log))}
    return list(between), list(within)


def last_warning(log: str) -> str:
    """Return NCCL's last warning, empty without one."""
    return ([*_found(WARNING, log)] or [""])[-1]


def _channels(log: str) -> Iterator[tuple[int, int | None, str]]:
    for line in log.splitlines():
        if found := CHANNEL.search(line):
            yield int(found[1]), int(found[2]) if found[2] else None, _plain(found[3].strip())


def _plain(transport: str) -> str:
    """Return a transport without the numbers of adapters and proxies."""
    if net := NET.match(transport):
        return f"{net[1]}/{net[2]}{net[3] or ''}"
    return DETAILS.sub("", transport)


def _found(pattern: re.Pattern[str], log: str) -> Iterator[str]:
    for line in log.splitlines():
        if found := pattern.search(line):
            yield found[1].strip()
