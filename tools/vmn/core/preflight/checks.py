"""All checks, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Snapshot
from vmn.core.preflight import claims, fabrics, gpus, namespace, nodes, objects, queues, routes, server
from vmn.core.preflight.result import CheckResult, warned

Check = Callable[[RenderedRelease, Snapshot], Iterator[CheckResult]]
CHECKS: tuple[tuple[Check, str], ...] = (
    (server.version, ""),
    (server.crd, "customresourcedefinitions"),
    (server.controller, ""),
    (nodes.nodes, "nodes"),
    (nodes.spare, "nodes"),
    (nodes.topology, "nodes"),
    (nodes.numa, ""),
    (nodes.image, "nodes"),
    (gpus.products, "nodes"),
    (gpus.driver, "nodes"),
    (gpus.shared, "nodes"),
    (namespace.security, ""),
    (namespace.quota, "resourcequotas"),
    (namespace.limits, "limitranges"),
    (namespace.policies, "networkpolicies"),
    (namespace.mesh, "namespaces"),
    (objects.secrets, ""),
    (claims.claims, ""),
    (claims.unchanged, ""),
    (objects.classes, ""),
    (objects.networks, ""),
    (fabrics.google_networks, ""),
    (fabrics.domains, ""),
    (objects.collisions, "services"),
    (queues.kueue, ""),
    (queues.group_size, ""),
    (queues.topology, ""),
    (queues.volcano, ""),
    (routes.gateways, ""),
    (routes.gateway_policy, ""),
    (routes.picker, ""),
    (routes.metrics, ""),
    (routes.growth, "nodes"),
    (objects.monitors, ""),
)
"""Each check, and the kind without which it can find nothing."""


def results(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Yield the results of every check, and what you may not read."""
    for check, needed in CHECKS:
        if needed not in snapshot.denied:
            yield from check(release, snapshot)
    for plural, rule in snapshot.denied.items():
        text = f"you may not read {plural}, so what depends on them was not checked"
        if plural == "pods":
            text = "you may not read pods in all namespaces, so all nodes count as empty"
        yield warned("permissions", text, rule)
