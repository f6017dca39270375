"""Nodes on which kwok says that pods run: for scheduling, rollout and scale."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.cluster import Object, condition, kubectl, objects
from kit.progress import say, wait_until
from localcluster import kubectl as local
from localcluster import simulated

GPUS = 8
VALUES = {
    "scheduling": {
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
    }
}
"""Values that bring pods there, on the local cluster and wherever kwok's own examples are followed."""


def nodes() -> list[Object]:
    """Return the simulated nodes with enough GPUs on which a pod can be placed."""
    found = objects("nodes", selector=simulated.SELECTOR)
    return [node for node in found if condition(node, "Ready") and gpus(node) >= GPUS and not closed(node)]


def closed(node: Object) -> bool:
    """Return whether Kubernetes itself keeps pods off a node, as off a new one until some time after it is ready."""
    return any(taint["key"].startswith("node.kubernetes.io/") for taint in node["spec"].get("taints", ()))


def gpus(node: Object) -> int:
    """Return how many GPUs a node offers."""
    return int(node["status"].get("allocatable", {}).get("nvidia.com/gpu", 0))


def is_local_cluster() -> bool:
    """Return whether KUBECONFIG is the local cluster's."""
    return Path(os.environ.get("KUBECONFIG", "")) == local.kubeconfig()


@contextmanager
def at_least(count: int) -> Iterator[None]:
    """Have simulated nodes, on the local cluster by making them; skip the test where there are too few."""
    there = len(nodes())
    if there >= count or not is_local_cluster():
        lacking = f"needs {count} simulated GPU nodes (label {simulated.SELECTOR}, {GPUS} nvidia.com/gpu each)"
        if there < count:
            pytest.skip(f"{lacking}, and the cluster has {there}: see docs/local-cluster.md")
        yield
        return
    say(f"making {count} simulated nodes")
    before = len(objects("nodes", selector=simulated.SELECTOR))
    try:
        simulated.scale(count)
        wait_until(f"{count} ready simulated nodes", lambda: len(nodes()) >= count, 180)
        yield
    finally:
        simulated.scale(before)


@contextmanager
def labelled(label: str, names: Sequence[str]) -> Iterator[None]:
    """Give nodes a label, and the one back that they had."""
    key = label.partition("=")[0]
    before = {node["metadata"]["name"]: node["metadata"]["labels"].get(key) for node in nodes()}
    kubectl("label", "--overwrite", "node", *names, label)
    try:
        yield
    finally:
        for name in names:
            kubectl("label", "--overwrite", "node", name, f"{key}={before[name]}" if before[name] else f"{key}-")
