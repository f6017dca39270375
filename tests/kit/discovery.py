"""An API server that Helm can ask: it also says which kinds it knows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from kit.fakecluster import FakeCluster

KINDS: Mapping[str, Mapping[str, str]] = {
    "v1": {"ConfigMap": "configmaps", "Secret": "secrets", "Service": "services", "ServiceAccount": "serviceaccounts"},
    "apps/v1": {"StatefulSet": "statefulsets"},
    "autoscaling/v2": {"HorizontalPodAutoscaler": "horizontalpodautoscalers"},
    "leaderworkerset.x-k8s.io/v1": {"LeaderWorkerSet": "leaderworkersets"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
}
"""The kinds that are known, by API group and version, each with its plural name."""
VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.3"}


class DiscoverableCluster(FakeCluster):
    """Objects by plural name, in the kinds of ``KINDS``; what is not there does not exist."""

    def __init__(self, objects: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Serve objects."""
        plurals = [plural for kinds in KINDS.values() for plural in kinds.values()]
        super().__init__({plural: objects.get(plural, []) for plural in plurals}, {})

    def answer(self, address: str) -> tuple[int, str]:
        """Return status and body."""
        path = urlsplit(address).path
        if path == "/version":
            return 200, json.dumps(VERSION)
        if path == "/api":
            return 200, json.dumps({"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            return 200, json.dumps({"kind": "APIGroupList", "groups": [_group(name) for name in KINDS if "/" in name]})
        version = path.removeprefix("/apis/").removeprefix("/api/")
        if version in KINDS:
            return 200, json.dumps(_resources(version))
        return super().answer(address)


def _group(version: str) -> dict[str, Any]:
    given = {"groupVersion": version, "version": version.partition("/")[2]}
    return {"name": version.partition("/")[0], "versions": [given], "preferredVersion": given}


def _resources(version: str) -> dict[str, Any]:
    verbs = ["get", "list", "create", "patch"]
    found = [
        {"kind": kind, "name": plural, "namespaced": True, "verbs": verbs} for kind, plural in KINDS[version].items()
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": found}
