"""The kubelet's configuration, through the API server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vmn.adapters.cluster import ask
from vmn.adapters.programs import MissingError
from vmn.core.cluster.snapshot import Object, condition_of

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

KUBELET_TIMEOUT = 2
"""Seconds for a request that the API server forwards to a node."""


def kubelet_configuration(client: ApiClient, resource: str | None, nodes: Sequence[Object]) -> Object | None:
    """Return the configuration of the first ready node that has a resource; None when it can't be read.

    Args:
        client: client of the cluster.
        resource: a resource, such as ``nvidia.com/gpu``, None for any node.
        nodes: the nodes of the cluster.
    """
    suitable = (
        node for node in nodes if _is_ready(node) and (not resource or resource in node["status"]["allocatable"])
    )
    node = next(suitable, None)
    if node is None:
        return None
    try:
        answer = ask(client, "GET", f"/api/v1/nodes/{node['metadata']['name']}/proxy/configz", limit=KUBELET_TIMEOUT)
    except MissingError:  # the API server answers other requests, so it is the node that does not
        return None
    found: Object | None = answer.content.get("kubeletconfig") if answer.status == 200 else None
    return found


def _is_ready(node: Object) -> bool:
    ready = condition_of(node, "Ready").get("status") == "True"
    return ready and any(item["type"] == "InternalIP" for item in node["status"].get("addresses") or ())
