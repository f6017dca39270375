"""Checks of what routes clients to the groups, and of what scales the groups."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Object, Snapshot, condition_of
from vmn.core.preflight.nodes import Placement
from vmn.core.preflight.result import CheckResult, failed, passed, skipped, warned

APIS = {"Pods": "custom.metrics.k8s.io", "Object": "custom.metrics.k8s.io", "External": "external.metrics.k8s.io"}
"""API group that serves each type of metric; ``Resource`` is not used for vLLM."""


def gateways(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the Gateways of the route exist."""
    routes = release.of_kind("HTTPRoute")
    if not routes:
        yield skipped("gateway", "the release has no HTTPRoute")
    elif not snapshot.served("httproutes"):
        fix = "Install the Gateway API, or unset routing.httpRoute."
        yield failed("gateway", "the cluster does not know HTTPRoute", fix)
    elif "gateways" in snapshot.objects:
        existing = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in snapshot.all("gateways")}
        parents_of_route = [(ref.get("namespace") or release.namespace, ref["name"]) for ref in parents(routes[0])]
        missing = [f"{name} in {where}" for where, name in parents_of_route if (where, name) not in existing]
        if missing:
            fix = "Set routing.httpRoute.parentRefs to a Gateway that kubectl get gateways --all-namespaces lists."
            yield failed("gateway", f"there is no Gateway {missing[0]}", fix)
        else:
            yield passed("gateway", f"these Gateways exist: {', '.join(name for _, name in parents_of_route)}")


def parents(route: Object) -> list[Object]:
    """Return the Gateways among a route's parents, which may have other kinds."""
    return [ref for ref in route["spec"]["parentRefs"] if ref.get("kind", "Gateway") == "Gateway"]


def gateway_policy(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the release's NetworkPolicy admits a Gateway in another namespace."""
    away = [ref["name"] for route in release.of_kind("HTTPRoute") for ref in parents(route) if _elsewhere(ref, release)]
    policies = release.of_kind("NetworkPolicy")
    if not away or not policies:
        yield skipped("gateway-policy", "no Gateway in another namespace has to pass a NetworkPolicy")
        return
    peers = [peer for rule in policies[0]["spec"]["ingress"] if rule.get("ports") for peer in rule.get("from", ())]
    if any({"namespaceSelector", "ipBlock"} & set(peer) for peer in peers):
        yield passed("gateway-policy", "networkPolicy.clients admits other namespaces")
    else:
        text = (
            f"the NetworkPolicy admits only pods in {release.namespace}, but Gateway {away[0]} is in another namespace"
        )
        yield warned("gateway-policy", text, "Add the namespace of the Gateway's pods to networkPolicy.clients.")


def _elsewhere(ref: Object, release: RenderedRelease) -> bool:
    return str(ref.get("namespace") or release.namespace) != release.namespace


def picker(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the endpoint picker of the InferencePool exists."""
    pools = release.of_kind("InferencePool")
    if not pools:
        yield skipped("endpoint-picker", "the release has no InferencePool")
        return
    name = pools[0]["spec"]["endpointPickerRef"]["name"]
    if not snapshot.served("inferencepools"):
        fix = "Install the Gateway API Inference Extension, or unset routing.inferencePool."
        yield failed("endpoint-picker", "the cluster does not know InferencePool", fix)
    elif "services" in snapshot.objects and not snapshot.named("services", name):
        fix = (
            "Install the endpoint picker in this namespace, or set routing.inferencePool.endpointPicker to its Service."
        )
        yield failed("endpoint-picker", f"there is no Service {name} in {release.namespace}", fix)
    elif "services" in snapshot.objects:
        yield passed("endpoint-picker", f"Service {name} exists")


def metrics(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the autoscaler gets its metrics."""
    autoscalers, scaled = release.of_kind("HorizontalPodAutoscaler"), release.of_kind("ScaledObject")
    if scaled and not snapshot.served("scaledobjects"):
        fix = "Install KEDA, or use another autoscaling.type."
        yield failed("metrics", "the cluster does not know ScaledObject", fix)
    elif scaled:
        yield passed("metrics", "KEDA is installed")
    elif not autoscalers:
        yield skipped("metrics", "the number of groups is fixed")
    elif "apiservices" in snapshot.objects:
        yield _metrics_api(autoscalers[0], snapshot)


def _metrics_api(autoscaler: Object, snapshot: Snapshot) -> CheckResult:
    wanted = {APIS[item["type"]] for item in autoscaler["spec"]["metrics"] if item["type"] in APIS}
    available = [
        item for item in snapshot.all("apiservices") if condition_of(item, "Available").get("status") == "True"
    ]
    missing = sorted(wanted - {item["spec"].get("group") for item in available})
    if missing:
        fix = (
            "Install prometheus-adapter with rules for vLLM's metrics (docs/scaling.md), or use autoscaling.type keda."
        )
        return failed("metrics", f"no API server serves {missing[0]}, so the number of groups never changes", fix)
    return passed("metrics", f"the cluster serves {', '.join(sorted(wanted)) or 'the metrics of Kubernetes'}")


def growth(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the nodes have room for as many groups as the autoscaler may create."""
    most = max(
        [item["spec"]["maxReplicas"] for item in release.of_kind("HorizontalPodAutoscaler")]
        + [item["spec"]["maxReplicaCount"] for item in release.of_kind("ScaledObject")],
        default=0,
    )
    if not most:
        yield skipped("room-to-grow", "the number of groups is fixed")
        return
    room, needed = Placement(release, snapshot).room(most), most * release.size
    if room >= needed:
        yield passed("room-to-grow", f"room for {most} groups")
    else:
        fix = "Groups without room stay pending: add nodes (or a cluster autoscaler), or lower autoscaling.maxReplicas."
        yield warned("room-to-grow", f"room for {room} of the {needed} pods of {most} groups", fix)
