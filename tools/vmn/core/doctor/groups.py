"""What only a group or the cluster as a whole shows, as lines to match."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.lws import CONTROLLER, CRD, NAME, OLDEST, REVISION
from vmn.core.cluster.release import Group, Pod, Release
from vmn.core.cluster.snapshot import labels_of
from vmn.core.doctor.events import recreations
from vmn.core.doctor.evidence import Source

Line = tuple[str, float | None, str | None]
"""What is so, since when, and the pod that it is about."""
YOUNG = 15.0
"""Seconds that controllers get before what they have not made is missing."""
OLD = 60.0
"""Seconds after which a rollout has replaced the other pods of a group: it takes 20 (measured)."""
LOOP = 3
"""Recreations from which on a group comes and goes."""
SILENCE = 300.0
"""Seconds without a line of any pod before a start is called stuck; compiling kernels was quiet for 199 (measured)."""
DNS_SERVICE = "kube-dns"
"""Name of the Service that pods ask, also where CoreDNS answers."""


def group_sources(release: Release, group: Group) -> Iterator[Source]:
    """Yield the lines about one group; nothing is missing in one that was scaled away."""
    if release.is_scaled_away(group):
        return
    away = (
        f"; {CONTROLLER} has no available pod" if any("no available" in line for line in _controller(release)) else ""
    )
    needing = ((f"{line}{away}", at, pod) for line, at, pod in (*_missing(release, group), *_restarts(release, group)))
    for line, at, pod in (*needing, *_placed_in_part(release, group), *_hangs(release, group)):
        yield Source(
            "group",
            f"group {group.index}",
            line,
            (at,) if at else (),
            pod=pod,
            role=release.role_of(pod) if pod else None,
            group=group.index,
        )


def _missing(release: Release, group: Group) -> Iterator[Line]:
    leader = group.leader
    lws = release.lws or {}
    sets = {item["metadata"]["name"] for item in release.snapshot.all("statefulsets")}
    if leader is None:
        name = f"{release.name}-{group.index}"
        if release.now - _missed_since(release, name) > YOUNG:
            if group.pods:
                yield f"the leader {name} is missing", None, None
            else:
                what = "no pod" if release.name in sets else f"no pod, and no StatefulSet {release.name}"
                yield f"group {group.index} has {what}", None, None
        return
    if len(group.pods) >= group.size or leader.deletion_deadline is not None:
        return
    age = release.now - (leader.created_at or 0.0)
    policy = lws.get("spec", {}).get("startupPolicy")
    if policy == "LeaderReady" and not leader.ready:
        yield "startupPolicy LeaderReady: no workers before the leader is ready", leader.created_at, leader.name
    elif age > YOUNG:
        there_are = {pod.index for pod in group.pods}
        missing = [f"{leader.name}-{index}" for index in range(1, group.size) if index not in there_are]
        there = "its StatefulSet is there" if leader.name in sets else f"there is no StatefulSet {leader.name} for it"
        yield f"{', '.join(missing)} is missing: {there}", None, missing[0]


def _missed_since(release: Release, leader: str) -> float:
    """Return when a leader that is not there was wanted, or last was there as far as events tell."""
    seen = [event.last for event in release.events if event.name == leader]
    return max([release.created_at, release.last_scaled_at, *(at for at in seen if at is not None)])


def _placed_in_part(release: Release, group: Group) -> Iterator[Line]:
    """Yield that groups wait for nodes of which each of them holds some: the scheduler places pod by pod."""
    halves = [one for one in release.groups if any(p.unschedulable for p in one.pods) and any(p.node for p in one.pods)]
    if len(halves) > 1 and group in halves:
        pods = [pod for one in halves for pod in one.pods]
        waiting = ", ".join(pod.name for pod in pods if pod.unschedulable)
        holding = ", ".join(f"{pod.name} on {pod.node}" for pod in pods if pod.node)
        yield f"{len(halves)} groups are placed in part: {waiting} wait for nodes, {holding}", release.created_at, None


def _restarts(release: Release, group: Group) -> Iterator[Line]:
    found = recreations(release, group.index)
    count = sum(event.count for event in found)
    if count >= LOOP:
        first = min(event.first or release.now for event in found)
        yield f"RecreateGroup {count} times in {(release.now - first) / 60:.0f} min: {found[-1].message}", first, None
    revisions = {labels_of(pod.item).get(REVISION) for pod in group.pods if pod.deletion_deadline is None}
    if len(revisions) > 1 and release.now - max(pod.created_at or 0.0 for pod in group.pods) > OLD:
        pods = ", ".join(f"{pod.name} of {labels_of(pod.item).get(REVISION)}" for pod in group.pods)
        yield f"pods of different revisions: {pods}", None, None
    newest = max((event.last or 0.0 for event in found), default=0.0)
    for pod in group.pods:
        since = pod.running_since or 0.0
        stays = pod.restarts and pod.deletion_deadline is None and release.now - since > YOUNG
        if stays and newest < (pod.created_at or 0.0) and len(group.pods) > 1:
            yield f"{pod.name} was started again in place, and the group was not made anew", since or None, pod.name


def _hangs(release: Release, group: Group) -> Iterator[Line]:
    leader = group.leader
    pulse = release.pulses.get(leader.name) if leader else None
    if leader and pulse and pulse.running > 0 and pulse.tokens == 0:
        yield f"{pulse.running:.0f} request(s) run, and no token came in {pulse.seconds:.0f} s", None, leader.name
    running = [pod for pod in group.pods if pod.running_since is not None and pod.deletion_deadline is None]
    if group.serving or not running or len(running) < group.size:
        return
    spoke = {pod.name: last_line(release, pod) for pod in running}
    if None in spoke.values():
        return
    quiet = release.now - max(at for at in spoke.values() if at is not None)
    if quiet > SILENCE:
        first = min(running, key=lambda pod: spoke[pod.name] or 0.0)
        line = (
            f"all pods run, one is not ready, and nothing was logged for {quiet:.0f} s; {first.name} fell silent first"
        )
        yield line, spoke[first.name], first.name


def last_line(release: Release, pod: Pod) -> float | None:
    """Return when a pod wrote its newest line; its start counts as one."""
    ends = [log.last_written_at for log in release.logs if log.pod == pod.name and not log.previous]
    return max([at for at in (*ends, pod.running_since) if at is not None], default=None)


def cluster_sources(release: Release) -> Iterator[Source]:
    """Yield the lines about the cluster."""
    snapshot = release.snapshot
    for line in (*_controller(release), *_services(release)):
        yield Source("cluster", "cluster", line)
    if "customresourcedefinitions" in snapshot.objects and not snapshot.named("customresourcedefinitions", CRD):
        yield Source("cluster", "cluster", f"there is no CRD {CRD}")
    if "leaderworkersets" in snapshot.objects and release.lws is None:
        yield Source("cluster", f"namespace {release.namespace}", f"there is no LeaderWorkerSet {release.name}")
    endpoints = [
        item
        for item in snapshot.all("endpointslices")
        if labels_of(item).get("kubernetes.io/service-name") == DNS_SERVICE
    ]
    ready = [
        one for item in endpoints for one in item.get("endpoints") or () if (one.get("conditions") or {}).get("ready")
    ]
    if endpoints and not ready:
        yield Source("cluster", "cluster", f"Service {DNS_SERVICE} has no ready endpoint")


def _controller(release: Release) -> Iterator[str]:
    found = [item for item in release.snapshot.all("deployments") if item["metadata"]["name"] == CONTROLLER]
    for item in found:
        if not item.get("status", {}).get("availableReplicas"):
            yield f"{CONTROLLER} in {item['metadata'].get('namespace')} has no available pod"
    if not found and "deployments" in release.snapshot.objects:
        yield f"there is no Deployment {CONTROLLER}"


def _services(release: Release) -> Iterator[str]:
    headless = release.snapshot.named("services", release.name)
    if headless and headless["spec"].get("clusterIP") not in (None, "None"):
        yield f"Service {release.name} has the cluster IP {headless['spec']['clusterIP']}, and must be headless"
    if headless is None and release.groups and "services" in release.snapshot.objects:
        yield f"there is no headless Service {release.name}"
    spec = release.lws["spec"] if release.lws else {}
    if (spec.get("networkConfig") or {}).get("subdomainPolicy") == "UniquePerReplica":
        yield "subdomainPolicy UniquePerReplica"
    if release.snapshot.version < OLDEST:
        yield f"Kubernetes {'.'.join(map(str, release.snapshot.version))}"
    for budget in release.snapshot.all("poddisruptionbudgets"):
        status, chosen = budget.get("status") or {}, (budget["spec"].get("selector") or {}).get("matchLabels") or {}
        if chosen.get(NAME) == release.name and status.get("disruptionsAllowed") == 0:
            yield f"PodDisruptionBudget {budget['metadata']['name']} allows no disruption"
    if spec.get("replicas") == 0:
        yield f"LeaderWorkerSet {release.name} has 0 replicas"
