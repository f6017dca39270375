"""Talking to the cluster's API server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from localcluster.cache import state_dir
from localcluster.host import run
from localcluster.programs import program

REQUEST_TIMEOUT_S = 20
"""Bound on one request, seconds."""

Manifest = Mapping[str, Any]
"""One Kubernetes object, as its manifest would have it."""


def kubeconfig() -> Path:
    """Return the file that gives access to the cluster as its administrator."""
    return state_dir() / "kubeconfig"


def kubectl(*arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
    """Run kubectl on the cluster and return what it prints.

    Args:
        arguments: its arguments.
        stdin: text for its standard input.
        timeout: seconds.

    Raises:
        HostError: it fails.
    """
    options = ["--kubeconfig", str(kubeconfig()), f"--request-timeout={REQUEST_TIMEOUT_S}s"]
    return run([program("kubectl"), *options, *arguments], env=kubectl_environment(), stdin=stdin, timeout=timeout)


def kubectl_environment() -> dict[str, str]:
    """Return the environment that keeps kubectl's cache with the cluster's state, out of the home directory."""
    return {"KUBECACHEDIR": str(state_dir() / "kubectl-cache")}


def apply(manifests: Iterable[Manifest]) -> None:
    """Create objects or bring them up to date.

    Raises:
        HostError: the API server refuses them.
    """
    text = yaml.safe_dump_all([dict(manifest) for manifest in manifests])
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=localcluster", "-f", "-", stdin=text)


def create(manifests: Iterable[Manifest]) -> None:
    """Create objects with all their fields, status included where the API server takes it (nodes).

    Raises:
        HostError: the API server refuses them, or has them already.
    """
    kubectl("create", "-f", "-", stdin=yaml.safe_dump_all([dict(manifest) for manifest in manifests]), timeout=300)


def items(*arguments: str) -> list[dict[str, Any]]:
    """Return the objects that ``kubectl get`` lists.

    Raises:
        HostError: it fails.
    """
    found: list[dict[str, Any]] = json.loads(kubectl("get", "-o", "json", *arguments))["items"]
    return found


def has_condition(item: Manifest, kind: str) -> bool:
    """Tell whether an object has a status condition, such as ``Ready``."""
    conditions = item.get("status", {}).get("conditions", [])
    return any(entry["type"] == kind and entry["status"] == "True" for entry in conditions)


def patch_status(kind: str, name: str, status: Manifest) -> None:
    """Merge fields into an object's status.

    Raises:
        HostError: the API server refuses it.
    """
    body = json.dumps({"status": status})
    kubectl("patch", kind, name, "--subresource=status", "--type=merge", "--patch", body)
