"""Whether a run may begin: pods like the release's need what the release needs."""

from __future__ import annotations

from vmn.core.cluster.rendered import Demand
from vmn.core.cluster.snapshot import Snapshot
from vmn.core.preflight.finding import Finding, warned
from vmn.core.preflight.nodes import Placement, is_own


def in_the_way(demand: Demand, snapshot: Snapshot) -> Finding | None:
    """Return why a run would only wait, None when it may begin or nothing is known."""
    if not snapshot.all("namespaces") and "namespaces" not in snapshot.denied:
        return warned("active", f"not run: there is no namespace {demand.namespace} yet", "Create it first.")
    if {"nodes", "pods"} & set(snapshot.denied):
        return None
    free = Placement(demand, snapshot, beside=True).room(1)
    if free >= demand.size:
        return None
    own = [pod for pod in snapshot.all("pods") if is_own(pod, demand)]
    if own:
        text = (
            f"not run: {len(own)} pod(s) of release {demand.release} are there already, and beside them the nodes have "
            f"room for {free} of {demand.size} pods like them"
        )
        return warned("active", text, "Run it before an install, or on nodes that are free (scheduling.nodeSelector).")
    text = f"not run: the nodes have room for {free} of the {demand.size} pods of a group"
    return warned("active", text, "The check `nodes` says what is in the way.")
