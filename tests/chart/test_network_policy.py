"""The NetworkPolicy as a table of connections, which is also in docs/security.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kit.flows import Flow, Peer, allowed, pod
from kit.render import Manifests, render

MODEL: dict[str, Any] = {"model": {"name": "deepseek-ai/DeepSeek-R1"}}
VOLUME: dict[str, Any] = {
    "source": "volume",
    "path": "/models/r1",
    "volume": {"type": "persistentVolumeClaim", "claimName": "models"},
}
GATEWAY = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateway"}}}
OBJECT_STORE = {"to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}], "ports": [{"port": 9000}]}
API, RANKS = 8080, 40123


def manifests(**values: Any) -> Manifests:
    return render({**MODEL, **values})


def ends(rendered: Manifests) -> Mapping[str, Peer]:
    """Return the ends of connections, by their names in the table."""
    job = rendered.one("Job")["spec"]["template"]["metadata"]["labels"]
    other = pod(render(MODEL, release="other"), "worker")
    return {
        "leader": pod(rendered, "leader"),
        "worker": pod(rendered, "worker"),
        "other release": other,
        "pod": Peer({"app": "client"}),
        "gateway": Peer({"app": "envoy"}, "gateway"),
        "helm test": Peer(job),
        "outside": Peer(namespace=None),
        "dns": Peer({"k8s-app": "kube-dns"}, "kube-system"),
    }


Row = tuple[str, str, int, str, bool]
DEFAULT: list[Row] = [
    # from, to, port, protocol, allowed
    ("worker", "leader", RANKS, "TCP", True),
    ("leader", "worker", RANKS, "TCP", True),
    ("worker", "worker", RANKS, "UDP", True),
    ("other release", "leader", RANKS, "TCP", False),
    ("worker", "other release", RANKS, "TCP", False),
    ("pod", "leader", API, "TCP", True),
    ("pod", "leader", 29501, "TCP", False),
    ("pod", "worker", RANKS, "TCP", False),
    ("helm test", "leader", API, "TCP", True),
    ("gateway", "leader", API, "TCP", False),
    ("outside", "leader", API, "TCP", False),
    ("leader", "dns", 53, "UDP", True),
    ("leader", "dns", 53, "TCP", True),
    ("leader", "outside", 443, "TCP", True),
    ("leader", "outside", 80, "TCP", False),
    ("worker", "pod", API, "TCP", False),
]
CLIENTS: list[Row] = [
    ("gateway", "leader", API, "TCP", True),
    ("gateway", "leader", RANKS, "TCP", False),
    ("pod", "leader", API, "TCP", False),
    ("helm test", "leader", API, "TCP", True),
    ("worker", "leader", RANKS, "TCP", True),
]
OFFLINE: list[Row] = [
    ("leader", "outside", 443, "TCP", False),
    ("leader", "outside", 9000, "TCP", False),
    ("leader", "dns", 53, "UDP", True),
    ("worker", "leader", RANKS, "TCP", True),
]
EXTRA: list[Row] = [("leader", "outside", 9000, "TCP", True), ("leader", "outside", 443, "TCP", False)]
OTHER = {"from": [{"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "other"}}}], "ports": [{"port": 5600}]}
TABLES: Mapping[str, tuple[dict[str, Any], list[Row]]] = {
    "defaults": ({}, DEFAULT),
    "named clients": ({"networkPolicy": {"clients": [GATEWAY]}}, CLIENTS),
    "weights from a volume": ({"weights": VOLUME}, OFFLINE),
    "more egress": ({"weights": VOLUME, "networkPolicy": {"extraEgress": [OBJECT_STORE]}}, EXTRA),
    "more ingress": ({"networkPolicy": {"extraIngress": [OTHER]}}, [("pod", "leader", 5600, "TCP", False)]),
    "another port": (
        {"engine": {"port": 9090}},
        [("pod", "leader", 9090, "TCP", True), ("pod", "leader", API, "TCP", False)],
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_connections_are_allowed_and_denied_as_the_table_says(name: str) -> None:
    values, rows = TABLES[name]
    rendered = manifests(**values)
    peers = ends(rendered)
    flows = [Flow(peers[source], peers[target], port, protocol) for source, target, port, protocol, _ in rows]
    found = allowed(rendered.all("NetworkPolicy"), flows)
    assert [(*row[:4], verdict) for row, verdict in zip(rows, found, strict=True)] == rows


def test_every_pod_reaches_the_ranks_when_there_is_no_policy() -> None:
    rendered = manifests(networkPolicy={"enabled": False})
    assert rendered.all("NetworkPolicy") == []
    peers, policies = ends(rendered), manifests().all("NetworkPolicy")
    stranger = [Flow(peers["pod"], Peer({"app": "unprotected"}), RANKS)]
    assert allowed(policies, stranger) == [True], "a policy holds for the pods that it selects, and for no others"


def test_two_releases_reach_each_other_when_both_policies_allow_it() -> None:
    def policy(peer: str) -> dict[str, Any]:
        selector = {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": peer}}}
        ports = [{"port": 5600}]
        rules = {
            "extraIngress": [{"from": [selector], "ports": ports}],
            "extraEgress": [{"to": [selector], "ports": ports}],
        }
        return {**MODEL, "networkPolicy": rules}

    prefill, decode = (
        render(policy(peer), release=own) for own, peer in (("prefill", "decode"), ("decode", "prefill"))
    )
    flows = [Flow(pod(decode, "leader"), pod(prefill, "leader"), port, "TCP") for port in (5600, RANKS)]
    assert allowed([*prefill.all("NetworkPolicy"), *decode.all("NetworkPolicy")], flows) == [True, False]
    closed = render(MODEL, release="prefill").all("NetworkPolicy")
    assert allowed([*closed, *decode.all("NetworkPolicy")], flows) == [False, False]


def test_policy_selects_every_pod_of_the_release_on_its_own_network() -> None:
    rendered = manifests()
    chosen = rendered.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    for role in ("leader", "worker"):
        assert chosen.items() <= dict(pod(rendered, role).labels).items()
