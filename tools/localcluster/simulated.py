"""Simulated nodes with eight H100 each: kwok says that they are ready and that pods on them run."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from localcluster.controlplane import SIMULATED_ANNOTATION
from localcluster.kubectl import create, items, kubectl
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
        "status": {"capacity": _CAPACITY, "allocatable": _CAPACITY},
    }


def manifests(count: int) -> list[dict[str, Any]]:
    """Return the first ``count`` simulated nodes."""
    return [manifest(number) for number in range(1, count + 1)]


def manifest_list(count: int) -> str:
    """Return the first ``count`` simulated nodes as one document for ``kubectl create``."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests(count)}, indent=1)


def scale(count: int) -> None:
    """Have exactly ``count`` simulated nodes.

    Surplus nodes go with one request: kubectl sends five a second, which makes 200 nodes a matter of minutes.

    Raises:
        HostError: the API server refuses.
    """
    wanted = names(count)
    present = {node["metadata"]["name"] for node in items("nodes", "-l", SELECTOR)}
    if present - set(wanted):
        keep = f"{SELECTOR},kubernetes.io/hostname notin ({','.join(wanted)})"
        kubectl("delete", "--raw", f"/api/v1/nodes?labelSelector={quote(keep if wanted else SELECTOR)}")
    if missing := [number for number, name in enumerate(wanted, start=1) if name not in present]:
        create(manifest(number) for number in missing)
