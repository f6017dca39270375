"""Checking a cluster against a release before it is installed, and probing its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from secrets import choice
from typing import TYPE_CHECKING

from vmn.adapters import helm, probe_job
from vmn.adapters.cluster import AT_ONCE, Read, gather
from vmn.adapters.dry_run import dry_run
from vmn.adapters.kubelet import kubelet_configuration
from vmn.core.cluster.lws import API, CONTROLLER, CRD, QUEUE
from vmn.core.cluster.rendered import RenderedRelease, references
from vmn.core.cluster.snapshot import Object, Snapshot, labels_of
from vmn.core.preflight import checks, queues, routes
from vmn.core.preflight.fabrics import DOMAINS, GOOGLE_NETWORKS, claim_templates, google_names
from vmn.core.preflight.nodes import no_room_for_probe
from vmn.core.preflight.objects import PLURALS
from vmn.core.preflight.probe import judge
from vmn.core.preflight.probe.bandwidth import bandwidth_check
from vmn.core.preflight.probe.expectations import Expectations, expectations_of
from vmn.core.preflight.probe.job import ROOT, ProbeRun, probe_run
from vmn.core.preflight.probe.rbac import rules
from vmn.core.preflight.result import CheckResult, failed, warned
from vmn.core.reporting import Say

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Letters of the suffix of a probe's name, from which no word can arise, as in Kubernetes' own names."""
SUFFIX_LENGTH = 6
DRY_RUN_POD = "vmn-preflight"
"""Name of the pods that are tried in a dry run."""


def render(chart: Path, files: Sequence[Path], name: str, namespace: str) -> RenderedRelease:
    """Return a release as the chart renders it.

    Raises:
        MissingError: Helm is not on PATH.
        RenderError: the chart refuses the values.
    """
    return RenderedRelease(name, namespace, helm.manifests(chart, files, name, namespace))


def read_cluster(client: ApiClient, release: RenderedRelease) -> Snapshot:
    """Read what the checks need, several objects at a time.

    Raises:
        MissingError: the API server can't be reached.
    """
    snapshot = gather(client, list(_reads(release)))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tried = dict(pool.map(lambda trial: (trial[0], dry_run(client, *trial[1:])), _trials(release)))
    answers = {name: answer for name, answer in tried.items() if answer is not None}
    kubelet = kubelet_configuration(client, release.gpu_resource, snapshot.all("nodes"))
    return replace(snapshot, dry_runs=answers, kubelet=kubelet)


def check(release: RenderedRelease, snapshot: Snapshot) -> list[CheckResult]:
    """Return the results of all checks."""
    return list(checks.results(release, snapshot))


def render_with_bandwidth(
    chart: Path, files: Sequence[Path], name: str, namespace: str, floor: float | None
) -> RenderedRelease:
    """Return a release as the chart renders it with the check of the bandwidth.

    Args:
        chart: directory of the chart.
        files: values files; the last one wins.
        name: name of the release.
        namespace: namespace of the release.
        floor: least bus bandwidth in GB/s, None for the one in the values.

    Raises:
        MissingError: Helm is not on PATH.
        RenderError: the chart refuses the values.
    """
    key = "fabric.bandwidthCheck"
    options = ["--set", f"{key}.enabled=true"]
    if floor is not None:
        options += ["--set-json", f"{key}.floorGBps={floor}"]
    return RenderedRelease(name, namespace, helm.manifests(chart, files, name, namespace, options))


def expect(release: RenderedRelease, measured: RenderedRelease | None) -> Expectations:
    """Return what a probe checks.

    Args:
        release: the release.
        measured: the release with the check of the bandwidth, None to leave that out.
    """
    expected = expectations_of(release)
    if measured is None:
        return expected
    check = bandwidth_check(measured, ROOT)
    return replace(expected, no_bandwidth=check) if isinstance(check, str) else replace(expected, bandwidth=check)


def prepare_probe(release: RenderedRelease, expected: Expectations, seconds: int) -> ProbeRun:
    """Return the objects of a probe.

    Args:
        release: the release.
        expected: what the probe checks.
        seconds: how long the probe may take.
    """
    suffix = "".join(choice(SUFFIX_LETTERS) for _ in range(SUFFIX_LENGTH))
    return probe_run(release, expected, probe_job.program(), suffix, seconds)


def probe(
    client: ApiClient,
    release: RenderedRelease,
    snapshot: Snapshot,
    expected: Expectations,
    seconds: int,
    say: Say,
) -> list[CheckResult]:
    """Run one pod like the release's on each node of a group, judge what they find, and remove them.

    Args:
        client: client of the cluster.
        release: the release.
        snapshot: the cluster as it was read.
        expected: what to check.
        seconds: how long to wait at most.
        say: takes lines about progress.

    Raises:
        MissingError: the API server can't be reached.
        KeyboardInterrupt: the user or SIGTERM ended the probe; its objects are removed.
    """
    if no_room := no_room_for_probe(release, snapshot):
        return [no_room]
    run = prepare_probe(release, expected, seconds)
    pods = "1 pod" if run.nodes == 1 else f"{run.nodes} pods"
    say(f"running {pods} as Job {run.name} in {run.namespace}, for at most {seconds} s")
    if missing := probe_job.missing_rights(client, run):
        fix = rules(missing, run.namespace)
        return [warned("active", "not run: you may not create, watch, and delete its pods", fix)]
    done = probe_job.run_probe(client, run, seconds, say)
    if isinstance(done, str):
        return [failed("active", done, "Change what the message names. Nothing was left behind.")]
    reports = [judge.ProbeReport(pod, judge.answers_of(done.logs.get(pod.rank, ""))) for pod in done.pods]
    return list(judge.results(expected, reports, done.refused, done.seconds))


def _reads(release: RenderedRelease) -> Iterable[Read]:
    namespace = release.namespace
    yield Read("nodes", "v1")
    yield Read("pods", "v1", fields="status.phase!=Succeeded,status.phase!=Failed")
    yield Read("namespaces", "v1", name=namespace)
    yield Read("customresourcedefinitions", "apiextensions.k8s.io/v1", name=CRD)
    yield Read("deployments", "apps/v1", fields=f"metadata.name={CONTROLLER}")
    yield Read("storageclasses", "storage.k8s.io/v1")
    yield Read("runtimeclasses", "node.k8s.io/v1")
    yield Read("priorityclasses", "scheduling.k8s.io/v1")
    yield Read("network-attachment-definitions", "k8s.cni.cncf.io/v1")
    for plural in ("services", "persistentvolumeclaims", "resourcequotas", "limitranges"):
        yield Read(plural, "v1", namespace)
    yield Read("networkpolicies", "networking.k8s.io/v1", namespace)
    yield Read("leaderworkersets", API, namespace)
    yield Read("statefulsets", "apps/v1", namespace, release.lws["metadata"]["name"])
    yield from extension_reads(release)
    for plural in ("podmonitors", "prometheusrules"):
        yield Read(plural, "monitoring.coreos.com/v1", namespace)
    used = {(item.kind, item.name) for pod in release.pods for item in references(pod.spec)}
    for kind, name in sorted(used):
        if not release.renders(kind, name):
            yield Read(PLURALS[kind], "v1", namespace, name)


def extension_reads(release: RenderedRelease) -> Iterable[Read]:
    """Yield what to read only if the release refers to it; other releases do not need the rights for it."""
    namespace = release.namespace
    if google_names(release):
        yield Read(GOOGLE_NETWORKS, "networking.gke.io/v1")
    if claim_templates(release):
        yield Read("deviceclasses", "resource.k8s.io/v1")
        yield Read("resourceclaimtemplates", "resource.k8s.io/v1", namespace)
        yield Read(DOMAINS, "resource.nvidia.com/v1beta1", namespace)
    if QUEUE in labels_of(release.lws):
        yield Read("localqueues", "kueue.x-k8s.io/v1beta1", namespace)
        yield Read("topologies", "kueue.x-k8s.io/v1beta1")
    if queues.uses_volcano(release):
        yield Read("queues", "scheduling.volcano.sh/v1beta1")
    for route in release.of_kind("HTTPRoute"):
        yield Read("httproutes", "gateway.networking.k8s.io/v1", namespace)
        for where in sorted({ref.get("namespace") or namespace for ref in routes.parents(route)}):
            yield Read("gateways", "gateway.networking.k8s.io/v1", where)
    if release.of_kind("InferencePool"):
        yield Read("inferencepools", "inference.networking.k8s.io/v1", namespace)
    if release.of_kind("ScaledObject"):
        yield Read("scaledobjects", "keda.sh/v1alpha1", namespace)
    if release.of_kind("HorizontalPodAutoscaler"):
        yield Read("apiservices", "apiregistration.k8s.io/v1")


def _trials(release: RenderedRelease) -> Iterable[tuple[str, str, str, Object]]:
    """Yield what to try in a dry run: a name, method, path, and object."""
    lws, namespace = release.lws, release.namespace
    name = lws["metadata"]["name"]
    path = f"/apis/{lws['apiVersion']}/namespaces/{namespace}/leaderworkersets/{name}"
    yield f"LeaderWorkerSet/{name}", "PATCH", path, lws
    for pod in release.pods:
        path = f"/api/v1/namespaces/{namespace}/pods"
        yield f"Pod/{pod.role}", "POST", path, _dry_run_pod(pod.template, pod.role, namespace)


def _dry_run_pod(template: Object, role: str, namespace: str) -> Object:
    """Return the pod of a role, without what other checks look at and admission would refuse first."""
    left_out = ("serviceAccountName", "serviceAccount", "runtimeClassName", "priorityClassName")
    spec = {key: value for key, value in template["spec"].items() if key not in left_out}
    metadata = {"name": f"{DRY_RUN_POD}-{role}", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
