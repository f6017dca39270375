"""What a release's pods, their containers and their nodes show: observations, logs and termination messages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from vmn.core.cluster.release import Pod, Release
from vmn.core.cluster.snapshot import Object
from vmn.core.cluster.timestamps import clock, seconds
from vmn.core.doctor.evidence import Observation, Source, cut

SILENT_NODE_SECONDS = 25
"""Seconds without a sign of life: the kubelet renews its lease every 10 s (nodeLeaseDurationSeconds / 4)."""
STUCK_SECONDS = 10
"""Seconds after the end of its grace period for which a terminating pod is not yet called stuck."""
PROBE_SECONDS = 30.0
"""Seconds in which a container that has started passes its first readiness probe."""
SHORT_LINE = 120
"""Characters of a pod's newest line that are quoted."""
ENDING = frozenset({"pod-terminating", "pod-stuck-terminating"})


def pod_sources(release: Release, pod: Pod) -> Iterator[Source | Observation]:
    """Yield all that is known about one pod."""
    yield from _states(pod)
    yield from _conditions(release, pod)
    yield from _ending(release, pod)
    yield from _node(release, pod)
    yield from _texts(release, pod)


def outlives_deletion(item: Source | Observation) -> bool:
    """Return whether something matters even though it happened after the pod's group was deleted."""
    return isinstance(item, Observation) and (item.subject in ("node", "pending") or item.kind in ENDING)


def _texts(release: Release, pod: Pod) -> Iterator[Source | Observation]:
    text = partial(Source, "log", pod=pod.name, role=pod.role, group=pod.group)
    for status in pod.containers:
        for entry in (status.get("state", {}), status.get("lastState", {})):
            if message := (entry.get("terminated") or {}).get("message"):
                at = seconds(entry["terminated"].get("finishedAt"))
                origin, times = f"termination message of {pod.name}", (at,) if at else ()
                yield text(origin, message, times, ended=True)
    for log in release.logs_by_pod.get(pod.name, ()):
        what = "log of the previous container of" if log.previous else "log of"
        ended = log.previous or pod.has_ended(log.container)
        yield text(f"{what} {pod.name} ({log.container})", log.text, log.times, ended=ended)
    if reason := release.unread.get(pod.name):
        line = f"the log can't be read: {reason}"
        yield _about(pod, "log-unreadable", "node", line, origin=f"log of {pod.name}", fields={"reason": reason})


def _about(
    pod: Pod,
    kind: str,
    subject: str,
    text: str,
    *,
    origin: str = "",
    fields: dict[str, str] | None = None,
    quote: str = "",
    at: float | None = None,
) -> Observation:
    where = origin or f"{'node' if subject == 'node' else 'state'} of {pod.name}"
    return Observation(kind, subject, where, text, fields or {}, quote, at, pod.name, pod.role, pod.group)


def _states(pod: Pod) -> Iterator[Observation]:
    for status in pod.containers:
        for name, before in (("state", ""), ("lastState", "last ")):
            state, what = status.get(name) or {}, f"{status['name']} {before}"
            if waiting := state.get("waiting"):
                yield _waiting(pod, status["name"], f"{what}waiting", waiting)
            if ended := state.get("terminated"):
                yield from _terminated(pod, status["name"], what, ended)


def _waiting(pod: Pod, container: str, what: str, waiting: Object) -> Observation:
    quote, fields = _quote(waiting), {"container": container, "reason": waiting.get("reason") or ""}
    text = f"{what}: {quote}"
    return _about(pod, "container-waiting", "state", text, fields=fields, quote=quote, at=pod.created_at)


def _terminated(pod: Pod, container: str, what: str, ended: Object) -> Iterator[Observation]:
    at, reason, code = seconds(ended.get("finishedAt")), ended.get("reason") or "", ended.get("exitCode")
    said = (ended.get("message") or "").partition("\n")[0]
    fields = {"container": container, "reason": reason, "exit_code": str(code), "said": said}
    text = f"{what}terminated: {reason}, exit code {code}"
    yield _about(pod, "container-terminated", "state", text, fields=fields, at=at)
    if reason in ("StartError", "ContainerCannotRun"):
        quote = _quote(ended)
        text = f"{what}not started: {quote}"
        yield _about(pod, "container-not-started", "state", text, fields=fields, quote=quote, at=at)


def _quote(state: Object) -> str:
    return ": ".join(part for part in (state.get("reason"), state.get("message")) if part)


def _conditions(release: Release, pod: Pod) -> Iterator[Observation]:
    names = ", ".join(item["name"] for item in pod.item["spec"].get("containers") or ())
    yield _about(pod, "pod-containers", "state", f"containers: {names}", fields={"containers": names})
    scheduled, disrupted = pod.condition("PodScheduled"), pod.condition("DisruptionTarget")
    if scheduled.get("status") == "False":
        yield _condition(pod, "pod-unscheduled", "pending", "not scheduled", scheduled)
    yield from _phase(pod)
    yield from _unready(release, pod)
    if disrupted.get("status") == "True":
        yield _condition(pod, "pod-disrupted", "state", "disrupted", disrupted)


def _unready(release: Release, pod: Pod) -> Iterator[Observation]:
    """Yield that a pod whose container has started is not ready, once its probe had the time to say so."""
    since = pod.unready_since
    if since is not None and release.now - since > PROBE_SECONDS:
        when = f"{clock(since)} ({release.now - since:.0f} s)"
        doing = _newest_line(release, pod)
        text = f"the container has started, and the pod is not ready since {when}; {doing}"
        yield _about(pod, "pod-unready", "state", text, fields={"since": when, "doing": doing}, at=since)


def _newest_line(release: Release, pod: Pod) -> str:
    """Return what a pod logged last, and how long ago; a healthy server logs at least each probe."""
    lines = [line for log in release.logs_by_pod.get(pod.name, ()) if not log.previous for line in log.lines]
    if not lines:
        return "it has logged nothing"
    at, text = lines[-1]
    ago = f", {max(0.0, release.now - at):.0f} s ago" if at is not None else ""
    return f'its newest line{ago}: "{cut(text, SHORT_LINE)}"'


def _phase(pod: Pod) -> Iterator[Observation]:
    """Yield that a pod has failed, or has a reason for its phase."""
    phase, reason = pod.status.get("phase") or "", pod.status.get("reason") or ""
    if phase != "Failed" and not reason:
        return
    quote = _quote(pod.status)
    fields = {"phase": phase, "reason": reason, "message": pod.status.get("message") or "Kubernetes gives no reason"}
    text = f"pod {phase}: {quote}" if quote else f"pod {phase}, without a reason"
    yield _about(pod, "pod-failed", "state", text, fields=fields, quote=quote, at=_failed_at(pod))


def _failed_at(pod: Pod) -> float | None:
    """Return when a pod failed: when it was last not ready any more, else when it was created."""
    ready = pod.condition("Ready")
    since = seconds(ready.get("lastTransitionTime")) if ready.get("status") == "False" else None
    return since or pod.created_at


def _condition(pod: Pod, kind: str, subject: str, what: str, condition: Object) -> Observation:
    quote, at = _quote(condition), seconds(condition.get("lastTransitionTime"))
    fields = {"reason": condition.get("reason") or ""}
    return _about(pod, kind, subject, f"{what}: {quote}", fields=fields, quote=quote, at=at)


def _ending(release: Release, pod: Pod) -> Iterator[Observation]:
    deadline = pod.deletion_deadline
    if deadline is None:
        return
    since, late = pod.deleted_at or deadline, release.now - deadline
    if late > STUCK_SECONDS:
        text = f"Terminating, {late:.0f} s after its grace period ended"
        yield _about(pod, "pod-stuck-terminating", "state", text, at=since)
    else:
        text = f"Terminating for {release.now - since:.0f} s"
        yield _about(pod, "pod-terminating", "state", text, at=since)


def _node(release: Release, pod: Pod) -> Iterator[Observation]:
    if pod.node is None:
        return
    node, fields = release.node_of(pod), {"node": pod.node}
    if node is None:
        if "nodes" in release.snapshot.objects:
            text = f"node {pod.node} has left the cluster"
            yield _about(pod, "node-gone", "node", text, fields=fields)
        return
    conditions = {item["type"]: item for item in node["status"].get("conditions") or ()}
    ready, silence = conditions.get("Ready", {}), _silence(release, pod.node)
    if ready.get("status") != "True":
        text, reason = f"node {pod.node} is not ready: {_quote(ready)}", ready.get("reason") or ""
        at = seconds(ready.get("lastTransitionTime"))
        yield _about(pod, "node-not-ready", "node", text, fields={**fields, "reason": reason}, at=at)
    elif silence > SILENT_NODE_SECONDS:
        text = f"node {pod.node} has given no sign of life for {silence:.0f} s"
        yield _about(pod, "node-silent", "node", text, fields=fields, at=release.now - silence)


def silent_nodes(release: Release) -> set[str]:
    """Return the nodes of a release's pods that have given no sign of life for too long."""
    nodes = {pod.node for pod in release.pods if pod.node}
    return {node for node in nodes if _silence(release, node) > SILENT_NODE_SECONDS}


def _silence(release: Release, node: str) -> float:
    """Return how much older a node's lease is than the newest lease, which makes other clocks irrelevant."""
    own = release.leases.get(node)
    return max(release.leases.values()) - own if own is not None else 0.0
