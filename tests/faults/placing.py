"""Which pod is on which real node, so that a node can be lost on purpose; and a spare one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from faults.styles import Style
from kit.cluster import kubectl
from kit.progress import wait_until
from localcluster import cluster
from localcluster.node import numbered

PLACED_LIMIT = 60
NODES = [real.name for real in numbered(3)]
"""Three real nodes: a group of two, and a spare one."""


def place(style: Style, leader: str, worker: str) -> None:
    """Start a style's group with its pods on two real nodes; the third is closed meanwhile and open afterwards.

    Raises:
        TooLate: a pod is not placed.
    """
    cluster.up(replace(cluster.made_with(), real_nodes=len(NODES)))
    try:
        _open_only(leader)
        style.start()
        wait_until("placed leader", lambda: node_of(style, "vllm-0"), PLACED_LIMIT, state=style.describe)
        _open_only(worker)
        wait_until("placed worker", lambda: node_of(style, "vllm-0-1"), PLACED_LIMIT, state=style.describe)
    finally:
        kubectl("uncordon", *NODES)
    assert (node_of(style, "vllm-0"), node_of(style, "vllm-0-1")) == (leader, worker)


@contextmanager
def no_spare_node() -> Iterator[None]:
    """Leave two nodes to a group, so that it is recreated on the same nodes, which have the logs of its failures."""
    kubectl("cordon", NODES[-1])
    try:
        yield
    finally:
        kubectl("uncordon", NODES[-1])


def node_of(style: Style, pod: str) -> str:
    """Return the node of a pod, nothing when it has none."""
    found = style.pod(pod)
    return str(found["spec"].get("nodeName", "")) if found else ""


def _open_only(name: str) -> None:
    kubectl("uncordon", name)
    kubectl("cordon", *(other for other in NODES if other != name))
