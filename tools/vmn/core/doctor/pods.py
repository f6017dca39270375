"""What pods, their containers, nodes and logs say, as lines to match."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmn.core.cluster.release import Pod, Release
from vmn.core.cluster.snapshot import Object
from vmn.core.cluster.timestamps import seconds
from vmn.core.doctor.evidence import Source

SILENT_NODE = 25
"""Seconds without a sign of life: kubelet renews its lease every 10 (nodeLeaseDurationSeconds / 4)."""


def pod_sources(release: Release, pod: Pod) -> Iterator[Source]:
    """Yield the lines of one pod."""
    common: dict[str, Any] = {"pod": pod.name, "role": pod.role, "group": pod.group}
    for line, at in (*_states(pod), *_conditions(pod), *_ending(release, pod)):
        kind = "pending" if line.startswith("not scheduled") else "state"
        yield Source(kind, f"state of {pod.name}", line, (at,) if at else (), **common)
    for line, at in _node(release, pod):
        yield Source("node", f"node of {pod.name}", line, (at,) if at else (), **common)
    for status in pod.containers:
        for entry in (status.get("state", {}), status.get("lastState", {})):
            if message := (entry.get("terminated") or {}).get("message"):
                at = seconds(entry["terminated"].get("finishedAt"))
                yield Source("log", f"termination message of {pod.name}", message, (at,) if at else (), **common)
    for log in release.logs:
        if log.pod == pod.name:
            run = "log, before its restart, of" if log.previous else "log of"
            yield Source("log", f"{run} {pod.name} ({log.container})", log.text, log.times, **common)
    if reason := release.unread.get(pod.name):
        yield Source("node", f"log of {pod.name}", f"the log can't be read: {reason}", **common)


def _states(pod: Pod) -> Iterator[tuple[str, float | None]]:
    for status in pod.containers:
        for name, word in (("state", ""), ("lastState", "last ")):
            state = status.get(name) or {}
            if waiting := state.get("waiting"):
                yield f"{status['name']} {word}waiting: {_said(waiting)}", pod.created_at
            if ended := state.get("terminated"):
                reason = f"{_said(ended, message=False)}, exit code {ended.get('exitCode')}"
                yield f"{status['name']} {word}terminated: {reason}", seconds(ended.get("finishedAt"))
                if ended.get("reason") in ("StartError", "ContainerCannotRun"):
                    yield f"{status['name']} {word}not started: {_said(ended)}", seconds(ended.get("finishedAt"))
        if status.get("restartCount"):
            started = seconds((status.get("state", {}).get("running") or {}).get("startedAt"))
            yield f"{status['name']} was started again in place {status['restartCount']} time(s)", started


def _said(state: Object, message: bool = True) -> str:
    parts = [state.get("reason"), state.get("message") if message else None]
    return ": ".join(part for part in parts if part)


def _conditions(pod: Pod) -> Iterator[tuple[str, float | None]]:
    yield f"containers: {', '.join(item['name'] for item in pod.item['spec'].get('containers') or ())}", None
    scheduled = pod.condition("PodScheduled")
    if scheduled.get("status") == "False":
        yield f"not scheduled: {_said(scheduled)}", seconds(scheduled.get("lastTransitionTime"))
    if pod.status.get("reason"):
        yield f"pod {pod.status.get('phase')}: {_said(pod.status)}", pod.created_at
    disrupted = pod.condition("DisruptionTarget")
    if disrupted.get("status") == "True":
        yield f"disrupted: {_said(disrupted)}", seconds(disrupted.get("lastTransitionTime"))


def _ending(release: Release, pod: Pod) -> Iterator[tuple[str, float | None]]:
    over = pod.deletion_deadline
    if over is None:
        return
    since = pod.deleted_at or over
    late = release.now - over
    if late > 10:
        yield f"Terminating, {late:.0f} s after its grace period ended", since
    else:
        yield f"Terminating since {release.now - since:.0f} s", since


def _node(release: Release, pod: Pod) -> Iterator[tuple[str, float | None]]:
    node = release.node_of(pod)
    if node is None:
        if pod.node and "nodes" in release.snapshot.objects:
            yield f"node {pod.node} is not in the cluster any more", None
        return
    conditions = {item["type"]: item for item in node["status"].get("conditions") or ()}
    ready = conditions.get("Ready", {})
    taints = [taint["key"] for taint in node["spec"].get("taints") or ()]
    if ready.get("status") != "True":
        line = f"node {pod.node} is not ready: {_said(ready)}"
        yield line, seconds(ready.get("lastTransitionTime"))
    elif (silent := _silence(release, str(pod.node))) > SILENT_NODE:
        yield f"node {pod.node} has given no sign of life for {silent:.0f} s", release.now - silent
    if "node.kubernetes.io/out-of-service" in taints:
        yield f"node {pod.node} is tainted out-of-service", None
    for condition in ("DiskPressure", "MemoryPressure", "PIDPressure"):
        found = conditions.get(condition, {})
        if found.get("status") == "True":
            yield f"node {pod.node} has {condition}: {_said(found)}", seconds(found.get("lastTransitionTime"))


def silent_nodes(release: Release) -> set[str]:
    """Return the nodes of a release's pods that have given no sign of life for long."""
    nodes = {str(pod.node) for group in release.groups for pod in group.pods if pod.node}
    return {node for node in nodes if _silence(release, node) > SILENT_NODE}


def _silence(release: Release, node: str) -> float:
    """Return how much older a node's lease is than the newest of all: clocks of others don't matter."""
    times = {
        item["metadata"]["name"]: seconds(item["spec"].get("renewTime")) for item in release.snapshot.all("leases")
    }
    newest = max((at for at in times.values() if at is not None), default=0.0)
    own = times.get(node)
    return newest - own if own is not None else 0.0
