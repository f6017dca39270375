"""The network under the nodes: a switch in a namespace of its own, to which this machine and each node have one cable.

Nothing is added to this machine but one interface and one route per node, all of which vanish with the switch's
process. The bridge is in its own namespace, so this machine's packet filters (Docker drops forwarded packets) don't
see what the nodes say to each other. Nodes have no default route: what isn't there fails at once instead of hanging.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from localcluster.host import HostError, run
from localcluster.instance import INSTANCE
from localcluster.processes import pid_of, spawn, wait_until

HOST_INTERFACE = INSTANCE.interface
"""This machine's end of its cable."""

PREFIX = INSTANCE.nodes
"""First three bytes of the nodes' network."""

HOST_ADDRESS = f"{PREFIX}.1"
POD_RANGE = f"{INSTANCE.pods}.0.0/16"
SERVICE_RANGE = f"{INSTANCE.services}.0.0/16"
API_SERVICE = f"{INSTANCE.services}.0.1"
DNS_SERVICE = f"{INSTANCE.services}.0.10"
CLUSTER_DOMAIN = "cluster.local"
SWITCH = "switch"

_BRIDGE = "br0"
_WAIT_S = 10


def node_address(index: int) -> str:
    """Return the address of node ``index``, counted from 1."""
    return f"{PREFIX}.{10 + index}"


def pod_range(index: int) -> str:
    """Return the range of the addresses of node ``index``'s pods."""
    return f"{INSTANCE.pods}.{index}.0/24"


def hold(name: str, pause: Path, *unshare: str) -> int:
    """Start a process that holds new namespaces and return its id once they are there.

    Args:
        name: of the daemon.
        pause: the program that does nothing.
        unshare: options of ``unshare``, such as ``--net``.

    Raises:
        HostError: it doesn't come up.
    """
    pid = spawn(name, ["unshare", *unshare, "--", pause])
    executable = Path(f"/proc/{pid}/exe")
    wait_until(
        f"namespace of {name}",
        lambda: executable.exists() and executable.readlink() == pause.resolve(),
        timeout=_WAIT_S,
    )
    return pid


def inside(holder: str, *, mount: bool = False) -> list[str]:
    """Return the words that go before a command to run it in a holder's network (and mount) namespaces.

    Raises:
        HostError: the holder doesn't run.
    """
    pid = pid_of(holder)
    if pid is None:
        raise HostError(f"{holder} doesn't run")
    return ["nsenter", f"--target={pid}", "--net", *(["--mount", "--uts"] if mount else []), "--"]


def refuse_taken_network() -> None:
    """Refuse to start on a machine that uses one of the cluster's networks for something else.

    Raises:
        HostError: it does; the message names the route.
    """
    if not interface().exists():
        taken = taken_ranges([str(route["dst"]) for route in json.loads(run(["ip", "-json", "-4", "route"]))])
        if taken:
            raise HostError(f"this machine has routes to {', '.join(taken)}: the cluster's network would hide them")


def taken_ranges(routes: Iterable[str]) -> list[str]:
    """Return those of a machine's destinations, as ``ip route`` prints them, that overlap the cluster's ranges."""
    own = [ipaddress.ip_network(text) for text in (f"{PREFIX}.0/24", POD_RANGE)]
    others = [text for text in routes if text != "default"]
    return [text for text in others if any(ipaddress.ip_network(text).overlaps(range_) for range_ in own)]


def make_switch(pause: Path) -> None:
    """Make the switch and this machine's cable to it.

    Args:
        pause: the program that does nothing, for the switch.

    Raises:
        HostError: a step fails.
    """
    switch = hold(SWITCH, pause, "--net")
    _ip(inside(SWITCH), [f"link add {_BRIDGE} type bridge", f"link set {_BRIDGE} up", "link set lo up"])
    _ip([], [f"link add {HOST_INTERFACE} type veth peer name host netns {switch}"])
    _plug("host")


def connect(index: int, holder: str) -> None:
    """Make a node's cable to the switch; addresses come with ``set_addresses``.

    Args:
        index: number of the node, from 1.
        holder: the daemon that holds its namespaces.

    Raises:
        HostError: a step fails.
    """
    port = f"node-{index}"
    _ip(inside(holder), [f"link add eth0 type veth peer name {port} netns {pid_of(SWITCH)}", "link set lo up"])
    _plug(port)


def _plug(port: str) -> None:
    _ip(inside(SWITCH), [f"link set {port} master {_BRIDGE} up"])


def set_addresses(holders: Mapping[int, str]) -> None:
    """Give every cable's ends their addresses and routes, also where somebody took them away or pulled the cable.

    Args:
        holders: number of a node, from 1 -> the daemon that holds its namespaces; all that there are.

    Raises:
        HostError: a cable or a node is gone.
    """
    routes = {index: f"route replace {pod_range(index)} via {node_address(index)}" for index in holders}
    _set_address([], HOST_INTERFACE, HOST_ADDRESS, routes.values())
    services = f"route replace {SERVICE_RANGE} via {HOST_ADDRESS}"
    for index, holder in holders.items():
        others = [route for other, route in routes.items() if other != index]
        _set_address(inside(holder), "eth0", node_address(index), [services, *others])


def interface() -> Path:
    """Return the directory that this machine has about its cable while there is one."""
    return Path("/sys/class/net", HOST_INTERFACE)


def disconnect() -> None:
    """Remove this machine's cable; the rest ends with the processes that hold it.

    Raises:
        HostError: it can't be removed.
    """
    if interface().exists():
        try:
            run(["ip", "link", "delete", HOST_INTERFACE])
        except HostError:
            if interface().exists():
                raise


def _set_address(where: Sequence[str], name: str, address: str, routes: Iterable[str]) -> None:
    _ip(where, [f"address replace {address}/24 dev {name}", f"link set {name} up", *routes])


def _ip(where: Sequence[str], commands: Sequence[str]) -> None:
    run([*where, "ip", "-batch", "-"], stdin="\n".join(commands) + "\n")
