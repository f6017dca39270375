"""Simulated nodes with eight H100 each: kwok says that they are ready and that pods on them run."""

from __future__ import annotations

from typing import Any

from localcluster.controlplane import SIMULATED_ANNOTATION
from localcluster.kubectl import apply, items, kubectl, patch_status
from localcluster.node import GPUS

TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
"""Keeps off every pod that doesn't ask for simulated nodes; else system pods would "run" there."""

SELECTOR = "type=kwok"
"""Label of the simulated nodes."""

_CAPACITY = {
    "cpu": "192",
    "memory": "2Ti",
    "ephemeral-storage": "10Ti",
    "pods": "110",
    "nvidia.com/gpu": str(GPUS),
}


def names(count: int) -> list[str]:
    """Return the names of the first ``count`` simulated nodes."""
    return [f"h100-{number}" for number in range(1, count + 1)]


def manifest(number: int) -> dict[str, Any]:
    """Return simulated node ``number``, counted from 1, labelled as GPU feature discovery labels eight H100."""
    name = names(number)[-1]
    key, _, value = SIMULATED_ANNOTATION.partition("=")
    label, _, kind = SELECTOR.partition("=")
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {key: value},
            "labels": {
                label: kind,
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "nvidia.com/gpu.present": "true",
                "nvidia.com/gpu.count": str(GPUS),
                "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
                "nvidia.com/gpu.memory": "81559",
            },
        },
        "spec": {"taints": [TAINT]},
    }


def scale(count: int) -> None:
    """Have exactly ``count`` simulated nodes.

    Raises:
        HostError: the API server refuses.
    """
    wanted = set(names(count))
    present = {node["metadata"]["name"] for node in items("nodes", "-l", SELECTOR)}
    if surplus := sorted(present - wanted):
        kubectl("delete", "node", *surplus)
    if wanted - present:
        apply(manifest(number) for number in range(1, count + 1))
    for name in sorted(wanted - present):
        patch_status("node", name, {"capacity": _CAPACITY, "allocatable": _CAPACITY})
