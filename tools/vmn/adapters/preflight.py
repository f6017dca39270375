"""What ``vmn preflight`` reads from a cluster, and trials that make nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from vmn.adapters.cluster import AT_ONCE, Read, ask, gather, message
from vmn.adapters.programs import MissingError
from vmn.core.cluster.lws import API, CONTROLLER, CRD
from vmn.core.cluster.rendered import RenderedRelease, references
from vmn.core.cluster.snapshot import Object, Snapshot, condition_of, labels_of
from vmn.core.preflight import queues, routes
from vmn.core.preflight.fabrics import DOMAINS, GOOGLE_NETWORKS, claim_templates, google_names
from vmn.core.preflight.objects import PLURALS

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

KUBELET_TIMEOUT = 2
"""Seconds of the request that the server passes on to a node."""
TRIAL = "vmn-preflight"
"""Name of the pods of a trial, and who asks."""
RBAC_WORDS = ("cannot create resource", "cannot patch resource")
"""What the server says when the user may not; admission has other words, with the same status."""


def take(client: ApiClient, demand: RenderedRelease) -> Snapshot:
    """Read what the checks need, several things at a time.

    Raises:
        MissingError: the server can't be reached.
    """
    snapshot = gather(client, list(_reads(demand)))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        trials = dict(pool.map(lambda trial: (trial[0], _try(client, *trial[1:])), _trials(demand)))
    said = {name: answer for name, answer in trials.items() if answer is not None}
    return replace(snapshot, dry_runs=said, kubelet=_kubelet(client, demand, snapshot.all("nodes")))


def _kubelet(client: ApiClient, demand: RenderedRelease, nodes: Sequence[Object]) -> Object | None:
    """Return the kubelet's configuration of the first node with the release's GPUs, when it may be read."""
    resource = demand.gpu_resource
    asked = (node for node in nodes if _is_ready(node) and (not resource or resource in node["status"]["allocatable"]))
    node = next(asked, None)
    if node is None:
        return None
    try:
        answer = ask(client, "GET", f"/api/v1/nodes/{node['metadata']['name']}/proxy/configz", limit=KUBELET_TIMEOUT)
    except MissingError:  # the server is there: the node is not
        return None
    found: Object | None = answer.content.get("kubeletconfig") if answer.status == 200 else None
    return found


def _is_ready(node: Object) -> bool:
    ready = condition_of(node, "Ready").get("status") == "True"
    return ready and any(item["type"] == "InternalIP" for item in node["status"].get("addresses") or ())


def _reads(demand: RenderedRelease) -> Iterable[Read]:
    here = demand.namespace
    yield Read("nodes", "v1")
    yield Read("pods", "v1", fields="status.phase!=Succeeded,status.phase!=Failed")
    yield Read("namespaces", "v1", name=here)
    yield Read("customresourcedefinitions", "apiextensions.k8s.io/v1", name=CRD)
    yield Read("deployments", "apps/v1", fields=f"metadata.name={CONTROLLER}")
    yield Read("storageclasses", "storage.k8s.io/v1")
    yield Read("runtimeclasses", "node.k8s.io/v1")
    yield Read("priorityclasses", "scheduling.k8s.io/v1")
    yield Read("network-attachment-definitions", "k8s.cni.cncf.io/v1")
    if google_names(demand):
        yield Read(GOOGLE_NETWORKS, "networking.gke.io/v1")
    if claim_templates(demand):
        yield Read("deviceclasses", "resource.k8s.io/v1")
        yield Read("resourceclaimtemplates", "resource.k8s.io/v1", here)
        yield Read(DOMAINS, "resource.nvidia.com/v1beta1", here)
    for plural in ("services", "persistentvolumeclaims", "resourcequotas", "limitranges"):
        yield Read(plural, "v1", here)
    yield Read("networkpolicies", "networking.k8s.io/v1", here)
    yield Read("leaderworkersets", API, here)
    yield from _reads_of_others(demand)
    for plural in ("podmonitors", "prometheusrules"):
        yield Read(plural, "monitoring.coreos.com/v1", here)
    asked = {(item.kind, item.name) for pod in demand.pods for item in references(pod.spec)}
    for kind, name in sorted(asked):
        if not demand.renders(kind, name):
            yield Read(PLURALS[kind], "v1", here, name)


def _reads_of_others(demand: RenderedRelease) -> Iterable[Read]:
    """Yield what the release's own objects lead to: queues, Gateways, autoscalers; nobody needs rights for the rest."""
    here = demand.namespace
    if queues.KUEUE in labels_of(demand.lws):
        yield Read("localqueues", "kueue.x-k8s.io/v1beta1", here)
        yield Read("topologies", "kueue.x-k8s.io/v1beta1")
    if queues.uses_volcano(demand):
        yield Read("queues", "scheduling.volcano.sh/v1beta1")
    for route in demand.of_kind("HTTPRoute"):
        yield Read("httproutes", "gateway.networking.k8s.io/v1", here)
        for where in sorted({ref.get("namespace") or here for ref in routes.parents(route)}):
            yield Read("gateways", "gateway.networking.k8s.io/v1", where)
    if demand.of_kind("InferencePool"):
        yield Read("inferencepools", "inference.networking.k8s.io/v1", here)
    if demand.of_kind("ScaledObject"):
        yield Read("scaledobjects", "keda.sh/v1alpha1", here)
    if demand.of_kind("HorizontalPodAutoscaler"):
        yield Read("apiservices", "apiregistration.k8s.io/v1")


def _trials(demand: RenderedRelease) -> Iterable[tuple[str, str, str, Object]]:
    """Yield what the server is asked to take without making it: a name, method, path and object."""
    lws, here = demand.lws, demand.namespace
    name = lws["metadata"]["name"]
    path = f"/apis/{lws['apiVersion']}/namespaces/{here}/leaderworkersets/{name}"
    yield f"LeaderWorkerSet/{name}", "PATCH", path, lws
    for pod in demand.pods:
        yield f"Pod/{pod.role}", "POST", f"/api/v1/namespaces/{here}/pods", _trial_pod(pod.template, pod.role, here)


def _trial_pod(template: Object, role: str, namespace: str) -> Object:
    """Return the pod of a role, without what other checks look at and admission would refuse first."""
    left_out = ("serviceAccountName", "serviceAccount", "runtimeClassName", "priorityClassName")
    spec = {key: value for key, value in template["spec"].items() if key not in left_out}
    metadata = {"name": f"{TRIAL}-{role}", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _try(client: ApiClient, method: str, path: str, body: Object) -> str | None:
    """Return what the server has against an object, nothing when it takes it, None when it could not be asked."""
    query = [("dryRun", "All"), ("fieldManager", TRIAL), *([("force", "true")] if method == "PATCH" else [])]
    answer = ask(client, method, path, query, body)
    if answer.status < 300:
        return ""
    said = message(answer)
    unasked = answer.status == 401 or any(words in said for words in RBAC_WORDS) or answer.status == 404
    return None if unasked else said
