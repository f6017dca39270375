"""All checks, in the order in which they are said."""

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
    (objects.classes, ""),
    (objects.networks, ""),
    (fabrics.google_networks, ""),
    (fabrics.domains, ""),
    (objects.collisions, "services"),
    (queues.kueue, ""),
    (queues.topology, ""),
    (queues.volcano, ""),
    (routes.gateways, ""),
    (routes.gateway_policy, ""),
    (routes.picker, ""),
    (routes.metrics, ""),
    (routes.growth, "nodes"),
    (objects.monitors, ""),
)
"""Each check, and the kind that it can say nothing without."""


def results(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Yield what every check says, and what could not be seen."""
    for check, needed in CHECKS:
        if needed not in snapshot.denied:
            yield from check(release, snapshot)
    for plural, rule in snapshot.denied.items():
        text = f"{plural} may not be read, so what depends on them was not checked"
        if plural == "pods":
            text = "pods of all namespaces may not be read, so nodes count as empty"
        yield warned("permissions", text, rule)
