"""DisaggregatedSet of LeaderWorkerSet 0.9 takes the LeaderWorkerSets of two releases as its roles."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kit import simulated
from kit.cluster import LWS, Object, create, get, kubectl, objects
from kit.paths import CHECKOUT
from kit.progress import wait_until
from kit.render import render
from kit.subset import lost_paths

KIND = "disaggregatedsets.disaggregatedset.x-k8s.io"
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not simulated.is_local_cluster(), reason="needs LeaderWorkerSet with enableDisaggregatedSet"),
    pytest.mark.usefixtures("simulated_nodes"),
]
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"
ROLE = "disaggregatedset.x-k8s.io/role"
EXAMPLES = CHECKOUT / "examples" / "disaggregation"
ROLES = ("prefill", "decode")
TWO_NODES = {"parallelism": {"data": 2, "expert": True}}
"""A layout without pipeline stages, as docs/disaggregation.md has it for groups of two nodes."""
LIMIT = 90
"""Seconds until simulated pods are there."""


def role(name: str, namespace: str) -> Object:
    """Return the role that a release of the chart makes, with the values of docs/disaggregation.md."""
    values: dict[str, Any] = {**simulated.VALUES, **TWO_NODES}
    rendered = render(values, PRESET, EXAMPLES / f"{name}.yaml", release=name, namespace=namespace)
    spec: Object = copy.deepcopy(rendered.one("LeaderWorkerSet")["spec"])
    spec["rolloutStrategy"]["rollingUpdateConfiguration"].pop("partition")
    for template in ("leaderTemplate", "workerTemplate"):
        spec["leaderWorkerTemplate"][template]["spec"].pop("serviceAccountName", None)  # of no release here
    return {"name": name, "spec": spec}


def ready(namespace: str) -> dict[str, int]:
    """Return the ready groups of each role; DisaggregatedSet's own status stays empty in LeaderWorkerSet 0.9."""
    groups = objects(LWS, namespace=namespace)
    return {group["metadata"]["labels"][ROLE]: group.get("status", {}).get("readyReplicas", 0) for group in groups}


def test_two_releases_are_taken_as_roles_and_their_pods_come_up(namespace: str) -> None:
    roles = [role(name, namespace) for name in ROLES]
    metadata = {"name": "vllm"}
    wanted = {
        "apiVersion": "disaggregatedset.x-k8s.io/v1",
        "kind": "DisaggregatedSet",
        "metadata": metadata,
        "spec": {"roles": roles},
    }
    create(wanted, namespace)
    try:
        stored = get(KIND, "vllm", namespace)
        assert lost_paths(wanted, stored) == []
        wait_until(
            "both roles", lambda: ready(namespace) == dict.fromkeys(ROLES, 1), LIMIT, state=lambda: ready(namespace)
        )
        pods = objects("pods", namespace=namespace)
        assert len({pod["spec"]["nodeName"] for pod in pods}) == len(pods) == 4
    finally:
        kubectl("delete", KIND, "vllm", namespace=namespace)
        wait_until("end of the pods", lambda: not objects("pods", namespace=namespace), LIMIT)
