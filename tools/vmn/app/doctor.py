"""Reading a release from a cluster, and diagnosing it; nothing on the cluster changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import sleep, time
from typing import TYPE_CHECKING

from vmn.adapters.cluster import AT_ONCE, Read, gather
from vmn.adapters.container_logs import UnreadLog, read_log
from vmn.adapters.engine_metrics import is_silent, read_pulse
from vmn.adapters.programs import MissingError
from vmn.adapters.signatures import load_signatures
from vmn.core.cluster.container_log import ContainerLog
from vmn.core.cluster.lws import API, CONTROLLER, CRD, QUEUE
from vmn.core.cluster.release import INSTANCE, Pod, Release, own_pods
from vmn.core.cluster.snapshot import Snapshot, labels_of
from vmn.core.doctor import diagnose as core
from vmn.core.doctor.finding import Diagnosis
from vmn.core.doctor.pods import silent_nodes

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LEASES = Read("leases", "coordination.k8s.io/v1", "kube-node-lease")
LEASE_SECONDS = 12.0
"""Seconds in which a living kubelet renews its lease, even after a failed attempt (it tries every 10 s)."""
KUEUE_VERSIONS = ("v1beta2", "v1beta1")
"""Versions of Kueue's API, the newest first; 0.17 serves both."""
SCALE_SECONDS = 10.0
"""Seconds in which LWS requests the groups of a release that was just scaled; it takes 0.1 (measured)."""


def diagnose(release: Release) -> Diagnosis:
    """Return what is wrong with a release."""
    return core.diagnose(release, load_signatures())


def read_release(client: ApiClient, namespace: str, name: str) -> Release:
    """Read a release: its objects, its logs, and the counters of its API servers.

    Args:
        client: client of the cluster.
        namespace: namespace of the release.
        name: name of the release, or of its LeaderWorkerSet.

    Raises:
        MissingError: the API server can't be reached, or the release does not exist.
    """
    found = _read_objects(client, namespace, name)
    if not found.controller_caught_up:
        sleep(SCALE_SECONDS)
        found = _read_objects(client, namespace, name)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        pulses = pool.map(lambda pod: (pod.name, read_pulse(client, namespace, pod)), _ready_servers(found))
        logs = list(pool.map(lambda wanted: read_log(client, namespace, *wanted), _containers(found.pods)))
        silent = pool.map(lambda pod: (pod.name, is_silent(client, namespace, pod)), _unready_servers(found))
        answered = {pod: pulse for pod, pulse in pulses if pulse is not None}
        unanswered = frozenset(pod for pod, is_so in silent if is_so)
    return replace(
        found,
        snapshot=_with_new_leases(client, found),
        logs=[log for log in logs if isinstance(log, ContainerLog)],
        unread={log.pod: log.reason for log in logs if isinstance(log, UnreadLog)},
        pulses=answered,
        silent=unanswered,
    )


def _reads(namespace: str, name: str) -> Iterable[Read]:
    """Yield what to read: everything in the namespace that may be the release's, and what it depends on."""
    yield Read("leaderworkersets", API, namespace)
    yield Read("statefulsets", "apps/v1", namespace)
    for plural in ("pods", "services", "events", "persistentvolumeclaims"):
        yield Read(plural, "v1", namespace)
    yield Read("poddisruptionbudgets", "policy/v1", namespace)
    yield Read("configmaps", "v1", namespace, labels=f"{INSTANCE}={name}")
    yield Read("nodes", "v1")
    yield LEASES
    yield Read("customresourcedefinitions", "apiextensions.k8s.io/v1", name=CRD)
    yield Read("deployments", "apps/v1", fields=f"metadata.name={CONTROLLER}")
    yield Read("endpointslices", "discovery.k8s.io/v1", "kube-system", labels="kubernetes.io/service-name=kube-dns")


def _read_objects(client: ApiClient, namespace: str, name: str) -> Release:
    """Return the objects of a release. Its time is taken first: what is missing was missing then.

    Raises:
        MissingError: the API server can't be reached, or the release does not exist.
    """
    now = time()
    snapshot = gather(client, list(_reads(namespace, name)))
    release = Release(_leaderworkerset(snapshot, namespace, name), namespace, snapshot, now)
    if release.lws is None or QUEUE not in labels_of(release.lws):
        return release
    return replace(release, snapshot=_with_workloads(client, snapshot, namespace))


def _with_workloads(client: ApiClient, snapshot: Snapshot, namespace: str) -> Snapshot:
    """Return the snapshot with Kueue's Workloads, which only releases in a queue have."""
    for version in KUEUE_VERSIONS:
        queued = gather(client, [Read("workloads", f"kueue.x-k8s.io/{version}", namespace)])
        if queued.served("workloads"):
            objects, denied = {**snapshot.objects, **queued.objects}, {**snapshot.denied, **queued.denied}
            return replace(snapshot, objects=objects, denied=denied)
    return snapshot


def _with_new_leases(client: ApiClient, release: Release) -> Snapshot:
    """Return the snapshot, with leases read again when a node looks silent.

    After an outage of the API server all leases are old until each kubelet has renewed its own.
    """
    if not silent_nodes(release):
        return release.snapshot
    sleep(max(0.0, LEASE_SECONDS - (time() - release.now)))
    again = gather(client, [LEASES])
    return replace(release.snapshot, objects={**release.snapshot.objects, **again.objects})


def _leaderworkerset(snapshot: Snapshot, namespace: str, name: str) -> str:
    """Return the name of the release's LeaderWorkerSet; the given name when only other objects of it exist."""
    existing = snapshot.all("leaderworkersets")
    names = [item["metadata"]["name"] for item in existing]
    if name in names:
        return name
    labelled = [item["metadata"]["name"] for item in existing if labels_of(item).get(INSTANCE) == name]
    if labelled:
        return str(labelled[0])
    if "leaderworkersets" in snapshot.denied:
        raise MissingError(f"You may not read LeaderWorkerSets. {snapshot.denied['leaderworkersets']}")
    others = (*snapshot.all("configmaps"), *snapshot.all("services"))
    if any(labels_of(item).get(INSTANCE) == name for item in others) or own_pods(snapshot, name):
        return name
    known = f"Its LeaderWorkerSets are {', '.join(names)}." if names else "It has no LeaderWorkerSet."
    raise MissingError(f"Namespace {namespace} has no release {name}. {known}")


def _containers(pods: Sequence[Pod]) -> Iterable[tuple[Pod, str, bool]]:
    """Yield pod, container, and whether to read the log of the previous container."""
    for pod in pods:
        for status in pod.containers:
            state = status.get("state") or {}
            if "running" in state or "terminated" in state:
                yield pod, status["name"], False
            if status.get("restartCount"):
                yield pod, status["name"], True


def _ready_servers(release: Release) -> list[Pod]:
    return [pod for pod in release.pods if pod.server_ports and pod.ready]


def _unready_servers(release: Release) -> list[Pod]:
    return [pod for pod in release.pods if pod.server_ports and pod.unready_since is not None]
