"""Which of this machine's local clusters is meant: the user's, or the one that the tests make and remove.

They have their own state, control group and networks, so that neither sees the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from localcluster.chosen import of_the_environment

VARIABLE = "LOCALCLUSTER"
"""Names the cluster for a process and all that it starts; unset or empty, the user's."""


@dataclass(frozen=True)
class Instance:
    """What the clusters of one machine must not share.

    Attributes:
        name: of the state directory and the control group.
        interface: this machine's end of the cable to the nodes; at most 15 characters.
        nodes: first three bytes of the nodes' addresses, of the range kept for network tests (RFC 2544).
        pods: first two bytes of the pods' addresses.
        services: first two bytes of the Services' addresses.
    """

    name: str
    interface: str
    nodes: str
    pods: str
    services: str


INSTANCES: Mapping[str, Instance] = {
    "": Instance("vllm-multinode", "vllm-multinode", "198.18.0", "10.244", "10.96"),
    "tests": Instance("vllm-multinode-tests", "vllm-tests", "198.18.1", "10.245", "10.97"),
}


def named(name: str) -> Instance:
    """Return a cluster by its name.

    Raises:
        LookupError: there is none of this name.
    """
    if name not in INSTANCES:
        others = ", ".join(filter(None, INSTANCES))
        raise LookupError(f"{VARIABLE}={name}: no such local cluster; there is {others}, or leave {VARIABLE} unset")
    return INSTANCES[name]


INSTANCE = of_the_environment(VARIABLE, named)
OTHERS = tuple(other for other in INSTANCES.values() if other != INSTANCE)
