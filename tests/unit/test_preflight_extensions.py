"""Checks of queues, Gateways, and autoscalers: each finds its fault with a fix, and passes when everything exists."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest

from kit.paths import CASES, CHART
from kit.render import render
from vmn.app.preflight import extension_reads
from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Snapshot
from vmn.core.preflight import queues, routes
from vmn.core.preflight.result import CheckResult, CheckStatus
from vmn.core.values.yaml import parse_values

Object = dict[str, Any]
HERE = "default"
CHECKS = (
    queues.kueue,
    queues.group_size,
    queues.topology,
    queues.volcano,
    routes.gateways,
    routes.gateway_policy,
    routes.picker,
    routes.metrics,
    routes.growth,
)


def named(name: str, namespace: str = HERE, **more: Any) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, **more}


def conditions(kind: str, status: str, message: str = "") -> Object:
    return {"conditions": [{"type": kind, "status": status, "message": message, "reason": "Because"}]}


def in_a_queue(size: int) -> Object:
    """Return an installed LeaderWorkerSet whose groups are in a queue."""
    found = named("vllm", spec={"leaderWorkerTemplate": {"size": size}})
    found["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "inference"}
    return found


def nodes(count: int) -> list[Object]:
    """Return nodes of 8 GPUs."""
    there = {"cpu": "128", "memory": "1500Gi", "ephemeral-storage": "2000Gi", "pods": "110", "nvidia.com/gpu": "8"}
    ready = conditions("Ready", "True")
    return [{**named(f"node-{index}", spec={}), "status": {"allocatable": there, **ready}} for index in range(count)]


def healthy(case: str) -> dict[str, list[Object]]:
    """Return the objects of a cluster on which the release of a case starts."""
    adapter: Object = {"spec": {"group": "custom.metrics.k8s.io"}, "status": conditions("Available", "True")}
    core: Object = {"spec": {"version": "v1"}, "status": conditions("Available", "True")}  # as Kubernetes 1.36 has it
    everything: Mapping[str, dict[str, list[Object]]] = {
        "kueue": {
            "localqueues": [named("inference", status=conditions("Active", "True"))],
            "topologies": [named("racks", spec={"levels": [{"nodeLabel": "example.com/block"}]})],
        },
        "volcano": {"queues": [named("inference")]},
        "autoscaled": {
            "httproutes": [],
            "gateways": [named("public", "gateways")],
            "inferencepools": [],
            "services": [named("vllm-epp")],
            "apiservices": [named("v1", **core), named("v1beta2.custom.metrics.k8s.io", **adapter)],
        },
        "keda": {"httproutes": [], "gateways": [named("public")], "scaledobjects": []},
    }
    installed = [in_a_queue(demand(case).size)] if case == "kueue" else []
    return copy.deepcopy(everything[case]) | {"nodes": nodes(8), "pods": [], "leaderworkersets": installed}


@cache
def demand(case: str) -> RenderedRelease:
    """Return the release of a case."""
    return RenderedRelease("vllm", HERE, render(None, CASES / "valid" / f"{case}.yaml").documents)


def say(case: str, read: Mapping[str, list[Object]]) -> list[CheckResult]:
    """Return what the checks find."""
    snapshot = Snapshot((1, 36), read, {}, {}, None)
    return [item for check in CHECKS for item in check(demand(case), snapshot)]


def without(plural: str) -> Callable[[dict[str, list[Object]]], object]:
    """Make a kind unknown to the cluster."""
    return lambda read: read.pop(plural)


def empty(plural: str) -> Callable[[dict[str, list[Object]]], object]:
    """Remove all objects of a kind."""
    return lambda read: read.update({plural: []})


FAULTS: Mapping[str, tuple[str, Callable[[dict[str, list[Object]]], object], str, CheckStatus, str]] = {
    "no Kueue": ("kueue", without("localqueues"), "queue", CheckStatus.FAIL, "Kueue is not installed"),
    "no LocalQueue": (
        "kueue",
        empty("localqueues"),
        "queue",
        CheckStatus.FAIL,
        "no LocalQueue inference in default",
    ),
    "LocalQueue that does not admit": (
        "kueue",
        lambda read: read["localqueues"][0].update(status=conditions("Active", "False", "ClusterQueue is missing")),
        "queue",
        CheckStatus.FAIL,
        "is not active: ClusterQueue is missing",
    ),
    "level of no Topology": (
        "kueue",
        empty("topologies"),
        "queue-topology",
        CheckStatus.FAIL,
        "no Topology of Kueue has the level example.com/block",
    ),
    "groups of another size": (
        "kueue",
        lambda read: read.update(leaderworkersets=[in_a_queue(7)]),
        "queue-size",
        CheckStatus.FAIL,
        "the groups in queue inference have 7 pods",
    ),
    "no Volcano": ("volcano", without("queues"), "volcano", CheckStatus.FAIL, "Volcano is not installed"),
    "no Queue of Volcano": ("volcano", empty("queues"), "volcano", CheckStatus.FAIL, "there is no Queue inference"),
    "no Gateway API": ("keda", without("httproutes"), "gateway", CheckStatus.FAIL, "does not know HTTPRoute"),
    "no Gateway": ("autoscaled", empty("gateways"), "gateway", CheckStatus.FAIL, "no Gateway public in gateways"),
    "Gateway of another namespace's name": (
        "keda",
        lambda read: read["gateways"][0]["metadata"].update(namespace="other"),
        "gateway",
        CheckStatus.FAIL,
        "no Gateway public in default",
    ),
    "no Inference Extension": (
        "autoscaled",
        without("inferencepools"),
        "endpoint-picker",
        CheckStatus.FAIL,
        "does not know InferencePool",
    ),
    "no endpoint picker": ("autoscaled", empty("services"), "endpoint-picker", CheckStatus.FAIL, "no Service vllm-epp"),
    "no metrics API": (
        "autoscaled",
        empty("apiservices"),
        "metrics",
        CheckStatus.FAIL,
        "no API server serves custom.metrics.k8s.io",
    ),
    "metrics API that is down": (
        "autoscaled",
        lambda read: read["apiservices"][1].update(status=conditions("Available", "False")),
        "metrics",
        CheckStatus.FAIL,
        "no API server serves custom.metrics.k8s.io",
    ),
    "no KEDA": ("keda", without("scaledobjects"), "metrics", CheckStatus.FAIL, "does not know ScaledObject"),
    "no room to grow": (
        "autoscaled",
        lambda read: read.update(nodes=nodes(3)),
        "room-to-grow",
        CheckStatus.WARN,
        "room for 3 of the 8 pods of 4 groups",
    ),
}


@pytest.mark.parametrize("case", ["kueue", "volcano", "keda", "autoscaled"])
def test_nothing_fails_when_everything_exists(case: str) -> None:
    assert [item for item in say(case, healthy(case)) if item.status is CheckStatus.FAIL] == []


@pytest.mark.parametrize(
    ("case", "check"),
    [
        ("kueue", "queue"),
        ("kueue", "queue-topology"),
        ("kueue", "queue-size"),
        ("volcano", "volcano"),
        ("autoscaled", "gateway"),
        ("autoscaled", "endpoint-picker"),
        ("autoscaled", "metrics"),
        ("keda", "metrics"),
        ("autoscaled", "room-to-grow"),
    ],
)
def test_check_passes_when_it_has_something_to_check(case: str, check: str) -> None:
    assert [item.status for item in say(case, healthy(case)) if item.check == check] == [CheckStatus.PASS]


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_and_comes_with_a_fix(fault: str) -> None:
    case, change, check, status, words = FAULTS[fault]
    read = healthy(case)
    change(read)
    found = [item for item in say(case, read) if item.check == check and item.status is status]
    assert len(found) == 1, say(case, read)
    assert words in found[0].text
    assert found[0].fix


def test_gateway_in_another_namespace_is_admitted_only_by_clients() -> None:
    warned = [item for item in say("autoscaled", healthy("autoscaled")) if item.check == "gateway-policy"]
    assert [item.status for item in warned] == [CheckStatus.WARN]
    clients: Object = {"networkPolicy": {"clients": [{"namespaceSelector": {}}]}}
    opened = RenderedRelease("vllm", HERE, render(clients, CASES / "valid" / "autoscaled.yaml").documents)
    found = list(routes.gateway_policy(opened, Snapshot((1, 36))))
    assert [item.status for item in found] == [CheckStatus.PASS]


def test_autoscaled_release_needs_room_for_its_minimum_of_groups() -> None:
    least = {"autoscaling": {"minReplicas": 3}}
    assert RenderedRelease("vllm", HERE, render(least, CASES / "valid" / "autoscaled.yaml").documents).replicas == 3


@pytest.mark.parametrize("case", ["kueue", "volcano", "keda", "autoscaled"])
def test_only_what_the_release_refers_to_is_read(case: str) -> None:
    plurals = {item.plural for item in extension_reads(demand(case))}
    assert plurals == set(healthy(case)) - {"nodes", "pods", "services", "leaderworkersets"}


def test_values_that_fixes_name_exist() -> None:
    defaults = parse_values((CHART / "values.yaml").read_text(encoding="utf-8"))
    for case, change, *_ in FAULTS.values():
        read = healthy(case)
        change(read)
        for finding in say(case, read):
            for section in ("scheduling", "routing", "autoscaling", "networkPolicy"):
                for word in (finding.fix or "").split():
                    path = word.strip(".,:()").split(".")
                    if path[0] == section and len(path) > 1:
                        here: Any = defaults
                        for part in path:
                            assert part in here, word
                            here = here[part]
