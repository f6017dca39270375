"""Checks of the network between nodes, each with a cluster that fails and one that passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from kit.render import render
from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Snapshot
from vmn.core.preflight import fabrics, nodes, objects
from vmn.core.preflight.result import CheckResult, CheckStatus

HERE = "default"
Check = Callable[[RenderedRelease, Snapshot], Iterator[CheckResult]]


def demand(**fabric: Any) -> RenderedRelease:
    values = {"model": {"name": "deepseek-ai/DeepSeek-R1"}, "fabric": fabric}
    return RenderedRelease("vllm", HERE, list(render(values, namespace=HERE)))


def named(*names: str) -> list[Mapping[str, Any]]:
    return [{"metadata": {"name": name, "namespace": HERE}} for name in names]


def machines(**more: str) -> list[Mapping[str, Any]]:
    """Return two nodes with 8 GPUs and further resources."""
    there = {"cpu": "192", "memory": "2000Gi", "ephemeral-storage": "2Ti", "pods": "110", "nvidia.com/gpu": "8"}
    status = {"allocatable": there | more, "conditions": [{"type": "Ready", "status": "True"}]}
    return [{**item, "spec": {}, "status": status} for item in named("node-1", "node-2")]


EFA: dict[str, Any] = {"profile": "efa", "resourceCount": 32}
MULTUS: dict[str, Any] = {"profile": "roce", "resourceName": "rdma/roce", "networks": ["rdma-0", "net/rdma-1@net7"]}
GIB: dict[str, Any] = {"profile": "gib", "networks": ["rdma-0", "rdma-1@eth7"]}
DOMAIN: dict[str, Any] = {"profile": "mnnvl"}
CLAIM: dict[str, Any] = {"profile": "mnnvl", "claimTemplate": "rack-1"}
MULTUS_KIND, CLASSES = "network-attachment-definitions", {"deviceclasses": named(fabrics.CHANNEL)}
OTHER = {"metadata": {"name": "rdma-1", "namespace": "net"}}

Case = tuple[Check, Mapping[str, Any], Mapping[str, Sequence[Mapping[str, Any]]], str]
FAULTS: Mapping[str, Case] = {
    # name: (check, values of fabric, what the cluster has, what is said)
    "no EFA": (nodes.nodes, EFA, {"nodes": machines()}, "too little vpc.amazonaws.com/efa"),
    "fewer EFA devices": (
        nodes.nodes,
        EFA,
        {"nodes": machines(**{"vpc.amazonaws.com/efa": "4", "hugepages-2Mi": "10Gi"})},
        "too little vpc.amazonaws.com/efa",
    ),
    "no huge pages": (
        nodes.nodes,
        EFA,
        {"nodes": machines(**{"vpc.amazonaws.com/efa": "32"})},
        "too little hugepages-2Mi",
    ),
    "no Multus": (objects.networks, MULTUS, {}, "does not know NetworkAttachmentDefinitions"),
    "no network of Multus": (
        objects.networks,
        MULTUS,
        {MULTUS_KIND: named("rdma-0")},
        "network net/rdma-1@net7 does not exist",
    ),
    "no multi-networking": (fabrics.google_networks, GIB, {}, "does not know Networks of networking.gke.io"),
    "no network of Google": (fabrics.google_networks, GIB, {"networks": named("rdma-0")}, "there is no Network rdma-1"),
    "no DRA": (fabrics.domains, DOMAIN, {}, "does not serve resource.k8s.io/v1"),
    "no DRA driver": (fabrics.domains, DOMAIN, CLASSES, "does not know ComputeDomains"),
    "no channels": (fabrics.domains, DOMAIN, {"deviceclasses": [], "computedomains": []}, "there is no DeviceClass"),
    "no claim template": (
        fabrics.domains,
        CLAIM,
        {**CLASSES, "resourceclaimtemplates": named("rack-2")},
        "there is no ResourceClaimTemplate rack-1",
    ),
}
WELL: Mapping[str, tuple[Check, Mapping[str, Any], Mapping[str, Sequence[Mapping[str, Any]]]]] = {
    "EFA": (nodes.nodes, EFA, {"nodes": machines(**{"vpc.amazonaws.com/efa": "32", "hugepages-2Mi": "10Gi"})}),
    "Multus": (objects.networks, MULTUS, {MULTUS_KIND: [*named("rdma-0"), OTHER]}),
    "Google": (fabrics.google_networks, GIB, {"networks": named("rdma-0", "rdma-1")}),
    "domain": (fabrics.domains, DOMAIN, {**CLASSES, "computedomains": []}),
    "claim": (fabrics.domains, CLAIM, {**CLASSES, "resourceclaimtemplates": named("rack-1")}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_fabric_misses_is_found_and_comes_with_a_fix(name: str) -> None:
    check, fabric, there, words = FAULTS[name]
    found = list(check(demand(**fabric), Snapshot((1, 36), there)))
    assert [item.status for item in found] == [CheckStatus.FAIL]
    assert words in found[0].text
    assert found[0].fix


@pytest.mark.parametrize("name", WELL)
def test_what_a_fabric_needs_is_found(name: str) -> None:
    check, fabric, there = WELL[name]
    assert [item.status for item in check(demand(**fabric), Snapshot((1, 36), there))] == [CheckStatus.PASS]


@pytest.mark.parametrize("check", [fabrics.google_networks, fabrics.domains])
def test_fabric_without_either_is_not_asked(check: Check) -> None:
    assert [item.status for item in check(demand(), Snapshot((1, 36), {}))] == [CheckStatus.SKIP]
