"""What ``vmn doctor`` reads from a cluster; it changes nothing there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import sleep, time
from typing import TYPE_CHECKING

from vmn.adapters.cluster import AT_ONCE, Read, ask_text, gather
from vmn.adapters.programs import MissingError
from vmn.core.cluster.container_log import ContainerLog
from vmn.core.cluster.lws import CONTROLLER, CRD
from vmn.core.cluster.release import INSTANCE, Pod, Pulse, Release, own_pods
from vmn.core.cluster.snapshot import Snapshot, labels_of
from vmn.core.doctor.pods import silent_nodes

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LOG_TIMEOUT = 6
"""Seconds: the API server passes these requests on to kubelet, which a lost node does not answer."""
LOG_BYTES = 2 * 2**20
"""Of the beginning of a log: the first error counts."""
LOG_LINES = 2000
"""Of the end of a log that is longer."""
PULSE_SECONDS = 10.0
"""Between two looks at a leader's counters."""
LEASES = Read("leases", "coordination.k8s.io/v1", "kube-node-lease")
LEASE_SECONDS = 12.0
"""In which a kubelet that is there renews its lease, also after a failure (every 10 s, Kubernetes' nodelease)."""
PASS_ON_SECONDS = 10.0
"""In which LeaderWorkerSet's controller asks for groups that were wanted a moment ago; it takes 0.1 (measured)."""
METRIC = re.compile(r"^vllm:(num_requests_running|generation_tokens_total)\{[^}]*\} (\S+)", re.MULTILINE)


def reads(namespace: str, release: str) -> Iterable[Read]:
    """Yield what is read: of the namespace all that the release could be, of the cluster what it depends on."""
    yield Read("leaderworkersets", "leaderworkerset.x-k8s.io/v1", namespace)
    yield Read("statefulsets", "apps/v1", namespace)
    for plural in ("pods", "services", "events", "persistentvolumeclaims"):
        yield Read(plural, "v1", namespace)
    yield Read("poddisruptionbudgets", "policy/v1", namespace)
    yield Read("configmaps", "v1", namespace, labels=f"{INSTANCE}={release}")
    yield Read("nodes", "v1")
    yield LEASES
    yield Read("customresourcedefinitions", "apiextensions.k8s.io/v1", name=CRD)
    yield Read("deployments", "apps/v1", fields=f"metadata.name={CONTROLLER}")
    yield Read("endpointslices", "discovery.k8s.io/v1", "kube-system", labels="kubernetes.io/service-name=kube-dns")


def take(client: ApiClient, namespace: str, release: str) -> Release:
    """Read a release: objects, logs, and the counters of its leaders.

    Args:
        client: of the cluster.
        namespace: where the release is.
        release: its name, or that of its LeaderWorkerSet.

    Raises:
        MissingError: the server can't be reached, or has no such release.
    """
    found = _read(client, namespace, release)
    if not found.controller_caught_up:
        sleep(PASS_ON_SECONDS)
        found = _read(client, namespace, release)
    pods = found.pods
    with ThreadPoolExecutor(AT_ONCE) as pool:
        pulses = pool.map(lambda pod: (pod.name, _pulse(client, namespace, pod)), _asked(found))
        answers = list(pool.map(lambda want: _log(client, namespace, *want), _containers(pods)))
        beats = {pod: pulse for pod, pulse in pulses if pulse is not None}
    logs = [item for item in answers if isinstance(item, ContainerLog)]
    unread = {pod: why for pod, why in (item for item in answers if isinstance(item, tuple))}
    return replace(found, snapshot=_with_new_leases(client, found), logs=logs, unread=unread, pulses=beats)


def _read(client: ApiClient, namespace: str, release: str) -> Release:
    """Return the objects of a release; what is not there was not there at its time, however long logs take to read.

    Raises:
        MissingError: the server can't be reached, or has no such release.
    """
    now = time()
    snapshot = gather(client, list(reads(namespace, release)))
    return Release(_name(snapshot, namespace, release), namespace, snapshot, now)


def _with_new_leases(client: ApiClient, release: Release) -> Snapshot:
    """Return what was read, with leases read again when a node looks silent.

    All leases are old when the API server comes back after it was away, until each kubelet has asked again.
    """
    if not silent_nodes(release):
        return release.snapshot
    sleep(max(0.0, LEASE_SECONDS - (time() - release.now)))
    again = gather(client, [LEASES])
    return replace(release.snapshot, objects={**release.snapshot.objects, **again.objects})


def _name(snapshot: Snapshot, namespace: str, release: str) -> str:
    """Return the name of the release's LeaderWorkerSet; the release's own when only other objects of it are there."""
    there = snapshot.all("leaderworkersets")
    names = [item["metadata"]["name"] for item in there]
    if release in names:
        return release
    labelled = [item["metadata"]["name"] for item in there if labels_of(item).get(INSTANCE) == release]
    if labelled:
        return str(labelled[0])
    if "leaderworkersets" in snapshot.denied:
        raise MissingError(f"LeaderWorkerSets may not be read. {snapshot.denied['leaderworkersets']}")
    others = (*snapshot.all("configmaps"), *snapshot.all("services"))
    if any(labels_of(item).get(INSTANCE) == release for item in others) or own_pods(snapshot, release):
        return release
    known = f"there are {', '.join(names)}" if names else "there is none"
    raise MissingError(f"There is no release {release} in namespace {namespace}: of LeaderWorkerSets {known}.")


def _containers(pods: Sequence[Pod]) -> Iterable[tuple[Pod, str, bool]]:
    for pod in pods:
        for status in pod.containers:
            state = status.get("state") or {}
            if "running" in state or "terminated" in state:
                yield pod, status["name"], False
            if status.get("restartCount"):
                yield pod, status["name"], True


def _log(
    client: ApiClient, namespace: str, pod: Pod, container: str, previous: bool
) -> ContainerLog | tuple[str, str] | None:
    """Return a container's log, why it can't be read, or None when there is none."""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod.name}/log"
    query = [("container", container), ("timestamps", "true"), ("previous", str(previous).lower())]
    try:
        status, text = ask_text(client, path, [*query, ("limitBytes", str(LOG_BYTES))], LOG_TIMEOUT)
        if status == 200 and len(text.encode()) >= LOG_BYTES:
            _, end = ask_text(client, path, [*query, ("tailLines", str(LOG_LINES))], LOG_TIMEOUT)
            text = f"{text.rpartition(chr(10))[0]}\n{end}"
    except MissingError:  # the server is there: the node is not
        return pod.name, f"no answer from its node in {LOG_TIMEOUT} s"
    if status == 200:
        return ContainerLog(pod.name, container, text, previous)
    return None if previous or status in (400, 404) else (pod.name, text[:300])


def _asked(release: Release) -> list[Pod]:
    leaders = [group.leader for group in release.groups]
    return [pod for pod in leaders if pod is not None and pod.ready]


def _pulse(client: ApiClient, namespace: str, pod: Pod) -> Pulse | None:
    """Return whether tokens come while requests run, None when nobody asks or the counters can't be read."""
    first = _counters(client, namespace, pod)
    if not first or not first.get("num_requests_running"):
        return None
    sleep(PULSE_SECONDS)
    second = _counters(client, namespace, pod)
    if not second:
        return None
    running = min(first["num_requests_running"], second.get("num_requests_running", 0.0))
    name = "generation_tokens_total"
    return Pulse(running, second.get(name, 0.0) - first.get(name, 0.0), PULSE_SECONDS)


def _counters(client: ApiClient, namespace: str, pod: Pod) -> dict[str, float] | None:
    """Return the sums of a leader's counters, through the API server's proxy."""
    ports = [port for item in pod.item["spec"]["containers"] for port in item.get("ports") or ()]
    port = next((item["containerPort"] for item in ports if item.get("name") == "http"), None)
    if port is None:
        return None
    path = f"/api/v1/namespaces/{namespace}/pods/{pod.name}:{port}/proxy/metrics"
    try:
        status, text = ask_text(client, path, limit=LOG_TIMEOUT)
    except MissingError:
        return None
    sums: dict[str, float] = {}
    for found in METRIC.finditer(text):
        sums[found[1]] = sums.get(found[1], 0.0) + float(found[2])
    return sums if status == 200 else None
