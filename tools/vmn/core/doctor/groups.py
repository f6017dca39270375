"""Observations that only a group or the cluster as a whole allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmn.core.cluster.lws import CONTROLLER, CRD, NAME, OLDEST, REVISION
from vmn.core.cluster.release import Group, Pod, Release
from vmn.core.cluster.snapshot import Object, labels_of
from vmn.core.doctor.changes import change_sources
from vmn.core.doctor.early_restarts import early_restarts, waits_for_others
from vmn.core.doctor.events import recreations
from vmn.core.doctor.evidence import Observation
from vmn.core.doctor.queues import queue_sources

GRACE_SECONDS = 15.0
"""Seconds that controllers get before what they have not created counts as missing."""
ROLLOUT_SECONDS = 60.0
"""Seconds after which a rollout has replaced the other pods of a group: it takes 20 (measured)."""
LOOP = 3
"""Number of recreations from which a group counts as recreated again and again."""
SILENCE_SECONDS = 300.0
"""Seconds without a line of any pod after which a start counts as stuck; compiling kernels was quiet for 199 s
(measured)."""
AWAY = "controller-unavailable"
"""Kind of the observation that LWS's controller has no available pod."""
DNS_SERVICE = "kube-dns"
"""Name of the Service that pods ask, even where CoreDNS answers."""


def group_sources(release: Release, group: Group) -> Iterator[Observation]:
    """Yield the observations about one group; nothing is missing from a group that was scaled away."""
    if release.is_scaled_away(group):
        return
    away = any(item.kind == AWAY for item in _controller(release))
    for item in (*_missing(release, group), *_restarts(release, group)):
        yield _without_controller(item) if away else item
    yield from early_restarts(release, group)
    yield from _placed_in_part(release, group)
    yield from queue_sources(release, group)
    yield from _hangs(release, group)


def _without_controller(item: Observation) -> Observation:
    """Return an observation that also says that LWS can't act on it."""
    text = f"{item.text}; {CONTROLLER} has no available pod"
    return replace(item, text=text, fields={**item.fields, "controller": "unavailable"})


def _about(
    release: Release,
    group: Group,
    kind: str,
    text: str,
    *,
    fields: dict[str, str] | None = None,
    at: float | None = None,
    pod: str | None = None,
) -> Observation:
    role = release.role_of(pod) if pod else None
    return Observation(
        kind, "group", f"group {group.index}", text, fields or {}, "", at or None, pod, role, group.index
    )


def _missing(release: Release, group: Group) -> Iterator[Observation]:
    leader = group.leader
    if leader is None:
        yield from _missing_leader(release, group)
        return
    if len(group.pods) >= group.size or leader.deletion_deadline is not None:
        return
    policy = (release.lws or {}).get("spec", {}).get("startupPolicy")
    if policy == "LeaderReady" and not leader.ready:
        text = "startupPolicy LeaderReady: LWS creates no workers before the leader is ready"
        yield _about(release, group, "workers-held-back", text, at=leader.created_at, pod=leader.name)
    elif release.now - (leader.created_at or 0.0) > GRACE_SECONDS:
        present = {pod.index for pod in group.pods}
        missing = [f"{leader.name}-{index}" for index in range(1, group.size) if index not in present]
        exists = leader.name in _statefulsets(release)
        what = f"StatefulSet {leader.name} exists" if exists else f"there is no StatefulSet {leader.name}"
        fields = {"statefulset": "present" if exists else "missing"}
        verb = "is" if len(missing) == 1 else "are"
        text = f"{', '.join(missing)} {verb} missing; {what}"
        yield _about(release, group, "workers-missing", text, fields=fields, pod=missing[0])


def _missing_leader(release: Release, group: Group) -> Iterator[Observation]:
    name = f"{release.name}-{group.index}"
    if release.now - _missing_since(release, name) <= GRACE_SECONDS:
        return
    if group.pods:
        yield _about(release, group, "leader-missing", f"the leader {name} is missing")
    else:
        exists = release.name in _statefulsets(release)
        what = "no pods" if exists else f"no pods, and there is no StatefulSet {release.name}"
        yield _about(release, group, "group-missing", f"group {group.index} has {what}")


def _statefulsets(release: Release) -> set[str]:
    return {item["metadata"]["name"] for item in release.snapshot.all("statefulsets")}


def _missing_since(release: Release, leader: str) -> float:
    """Return since when a missing leader should exist, or when it last existed as far as events tell."""
    seen = [event.last for event in release.events if event.name == leader]
    return max([release.created_at, release.last_scaled_at, *(at for at in seen if at is not None)])


def _placed_in_part(release: Release, group: Group) -> Iterator[Observation]:
    """Yield that groups hold some nodes each and wait for each other's: the scheduler places pod by pod."""
    if not _is_partial(group):
        return
    partial = [one for one in release.groups if _is_partial(one)]
    if len(partial) > 1:
        pods = [pod for one in partial for pod in one.pods]
        waiting = ", ".join(pod.name for pod in pods if pod.unschedulable)
        holding = ", ".join(f"{pod.name} holds {pod.node}" for pod in pods if pod.node)
        text = f"{len(partial)} groups are placed in part: {waiting} wait for nodes, {holding}"
        fields = {"count": str(len(partial))}
        yield _about(release, group, "groups-placed-in-part", text, fields=fields, at=release.created_at)


def _is_partial(group: Group) -> bool:
    """Return whether some pods of a group have a node, and others wait for one."""
    return any(pod.unschedulable for pod in group.pods) and any(pod.node for pod in group.pods)


def _restarts(release: Release, group: Group) -> Iterator[Observation]:
    found = recreations(release, group.index)
    count = sum(event.count for event in found)
    if count >= LOOP:
        first = min(event.first or release.now for event in found)
        minutes = (release.now - first) / 60
        text = f"RecreateGroup {count} times in {minutes:.0f} min: {found[-1].message}"
        yield _about(release, group, "group-recreated-repeatedly", text, at=first)
    revisions = {labels_of(pod.item).get(REVISION) for pod in group.pods if pod.deletion_deadline is None}
    if len(revisions) > 1 and release.now - max(pod.created_at or 0.0 for pod in group.pods) > ROLLOUT_SECONDS:
        pods = ", ".join(f"{pod.name} of {labels_of(pod.item).get(REVISION)}" for pod in group.pods)
        yield _about(release, group, "mixed-revisions", f"the pods have different revisions: {pods}")
    newest = max((event.last or 0.0 for event in found), default=0.0)
    for pod in group.pods:
        since = pod.running_since or 0.0
        stays = pod.restarts and pod.deletion_deadline is None and release.now - since > GRACE_SECONDS
        if stays and newest < (pod.created_at or 0.0) and len(group.pods) > 1 and not waits_for_others(group):
            text = f"a container of {pod.name} restarted, and the group was not recreated"
            yield _about(release, group, "restarted-in-place", text, at=since, pod=pod.name)


def _hangs(release: Release, group: Group) -> Iterator[Observation]:
    for pod in group.pods:
        yield from _server_hangs(release, group, pod)
    running = [pod for pod in group.pods if pod.running_since is not None and pod.deletion_deadline is None]
    served = any(pod.server_ports and pod.unready_since is not None for pod in group.pods)
    if group.serving or served or not running or len(running) < group.size:
        return
    spoke = {pod.name: last_line(release, pod) for pod in running}
    if None in spoke.values():
        return
    quiet = release.now - max(at for at in spoke.values() if at is not None)
    if quiet > SILENCE_SECONDS:
        first = min(running, key=lambda pod: spoke[pod.name] or 0.0)
        text = (
            f"all pods run, not all are ready, and none has logged anything for {quiet:.0f} s; {first.name} went "
            "silent first"
        )
        yield _about(release, group, "group-silent", text, at=spoke[first.name], pod=first.name)


def _server_hangs(release: Release, group: Group, pod: Pod) -> Iterator[Observation]:
    """Yield that the API servers of a pod have requests but no tokens, or that they do not answer."""
    pulse = release.pulses.get(pod.name)
    if pulse and pulse.running > 0 and pulse.tokens == 0:
        what = "1 request is" if pulse.running == 1 else f"{pulse.running:.0f} requests are"
        text = f"{what} running, and no token was generated in {pulse.seconds:.0f} s"
        yield _about(release, group, "requests-hang", text, pod=pod.name, at=release.now)
    if pod.name in release.silent:
        text = f"the container of {pod.name} has started, but its server does not answer /health"
        yield _about(release, group, "server-silent", text, pod=pod.name, at=pod.unready_since)


def last_line(release: Release, pod: Pod) -> float | None:
    """Return when a pod wrote its newest line; the start of its container counts as one."""
    ends = [log.last_written_at for log in release.logs_by_pod.get(pod.name, ()) if not log.previous]
    return max([at for at in (*ends, pod.running_since) if at is not None], default=None)


def cluster_sources(release: Release) -> Iterator[Observation]:
    """Yield the observations about the cluster."""
    snapshot = release.snapshot
    controller = list(_controller(release))
    yield from controller
    yield from change_sources(release, controller_away=any(item.kind == AWAY for item in controller))
    yield from _services(release)
    yield from _settings(release)
    if "customresourcedefinitions" in snapshot.objects and not snapshot.named("customresourcedefinitions", CRD):
        yield _cluster("crd-missing", f"there is no CRD {CRD}")
    if "leaderworkersets" in snapshot.objects and release.lws is None:
        text = f"there is no LeaderWorkerSet {release.name}"
        yield _cluster("leaderworkerset-missing", text, f"namespace {release.namespace}")
    slices = snapshot.all("endpointslices")
    slices = [item for item in slices if labels_of(item).get("kubernetes.io/service-name") == DNS_SERVICE]
    if slices and not any(_is_ready(one) for item in slices for one in item.get("endpoints") or ()):
        yield _cluster("dns-without-endpoints", f"Service {DNS_SERVICE} has no ready endpoint")


def _cluster(kind: str, text: str, origin: str = "cluster") -> Observation:
    return Observation(kind, "cluster", origin, text)


def _is_ready(endpoint: Object) -> bool:
    return bool((endpoint.get("conditions") or {}).get("ready"))


def _controller(release: Release) -> Iterator[Observation]:
    found = [item for item in release.snapshot.all("deployments") if item["metadata"]["name"] == CONTROLLER]
    for item in found:
        if not item.get("status", {}).get("availableReplicas"):
            text = f"{CONTROLLER} in {item['metadata'].get('namespace')} has no available pod"
            yield _cluster(AWAY, text)
    if not found and "deployments" in release.snapshot.objects:
        yield _cluster("controller-missing", f"there is no Deployment {CONTROLLER}")


def _services(release: Release) -> Iterator[Observation]:
    headless = release.snapshot.named("services", release.name)
    if headless and headless["spec"].get("clusterIP") not in (None, "None"):
        text = f"Service {release.name} has the cluster IP {headless['spec']['clusterIP']}, but must be headless"
        yield _cluster("service-not-headless", text)
    if headless is None and release.groups and "services" in release.snapshot.objects:
        yield _cluster("service-missing", f"the headless Service {release.name} does not exist")


def _settings(release: Release) -> Iterator[Observation]:
    spec = release.lws["spec"] if release.lws else {}
    if (spec.get("networkConfig") or {}).get("subdomainPolicy") == "UniquePerReplica":
        yield _cluster("subdomain-per-group", "subdomainPolicy UniquePerReplica")
    if release.snapshot.version < OLDEST:
        yield _cluster("kubernetes-too-old", f"Kubernetes {'.'.join(map(str, release.snapshot.version))}")
    for budget in release.snapshot.all("poddisruptionbudgets"):
        status, chosen = budget.get("status") or {}, (budget["spec"].get("selector") or {}).get("matchLabels") or {}
        if chosen.get(NAME) == release.name and status.get("disruptionsAllowed") == 0:
            text = f"PodDisruptionBudget {budget['metadata']['name']} allows no disruption"
            yield _cluster("disruption-not-allowed", text)
    if spec.get("replicas") == 0:
        yield _cluster("no-replicas", f"LeaderWorkerSet {release.name} has 0 replicas")
