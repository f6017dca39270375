"""Which pod is on which real node, so that a node can be lost on purpose; and a spare one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from faults.styles import Style
from kit.cluster import kubectl
from kit.progress import wait_until
from localcluster import cluster
from localcluster.node import numbered, present

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


def place_two(style: Style, first: Sequence[str], second: Sequence[str]) -> None:
    """Start two groups of a style, each with its leader and its worker on two real nodes.

    Raises:
        TooLate: a pod is not placed.
    """
    cluster.up(replace(cluster.made_with(), real_nodes=len({*NODES, *first, *second})))
    try:
        for number, nodes in enumerate((first, second)):
            for pod, where in zip((f"vllm-{number}", f"vllm-{number}-1"), nodes, strict=True):
                _open_only(where)
                if pod == "vllm-0":
                    style.start(replicas=1)
                elif pod == "vllm-1":
                    style.scale(2)
                wait_until(f"placed {pod}", partial(node_of, style, pod), PLACED_LIMIT, state=style.describe)
                assert node_of(style, pod) == where
    finally:
        kubectl("uncordon", *_names())


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
    kubectl("cordon", *(other for other in _names() if other != name))


def _names() -> list[str]:
    return [real.name for real in present()]
