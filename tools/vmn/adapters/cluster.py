"""A cluster through the Kubernetes API: what ``vmn preflight`` reads, and trials that make nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmn.adapters.programs import MissingError
from vmn.core.preflight.demand import Demand, references
from vmn.core.preflight.objects import PLURALS
from vmn.core.preflight.server import CONTROLLER, CRD
from vmn.core.preflight.snapshot import Snapshot

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Object = Mapping[str, Any]
TIMEOUT = 30
"""Seconds of each request."""
KUBELET_TIMEOUT = 2
"""Seconds of the one that the server passes on to a node."""
AT_ONCE = 8
PAGE = 500
"""Objects of an answer at most; more come with the next one."""
TRIAL = "vmn-preflight"
"""Name of the pods of a trial, and who asks."""
RBAC_WORDS = ("cannot create resource", "cannot patch resource")
"""What the server says when the user may not; admission has other words, with the same status."""


@dataclass(frozen=True)
class Read:
    """One thing to read.

    Attributes:
        plural: of the kind.
        group: API group and version, such as ``apps/v1``; ``v1`` for the core.
        namespace: where, None for everywhere.
        name: of one object, None for all.
        fields: a field selector.
    """

    plural: str
    group: str
    namespace: str | None = None
    name: str | None = None
    fields: str | None = None

    @property
    def path(self) -> str:
        """The address on the server."""
        root = f"/api/{self.group}" if "/" not in self.group else f"/apis/{self.group}"
        inside = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{root}{inside}/{self.plural}{'/' + self.name if self.name else ''}"

    @property
    def rule(self) -> str:
        """The RBAC rule that allows it."""
        group = self.group.partition("/")[0] if "/" in self.group else '""'
        kind = f"a Role in {self.namespace}" if self.namespace else "a ClusterRole"
        verb = "get" if self.name else "list"
        return f"Add to {kind}: {{apiGroups: [{group}], resources: [{self.plural}], verbs: [{verb}]}}."


@dataclass(frozen=True)
class Answer:
    """What the server answered: a status of HTTP, and JSON."""

    status: int
    content: Any


def connect(kubeconfig: str | None = None, context: str | None = None) -> tuple[ApiClient, str]:
    """Return a client for the cluster that kubectl would use, and the context's namespace.

    Raises:
        MissingError: no cluster is configured.
    """
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException

    kubeconfig = kubeconfig or os.environ.get("KUBECONFIG")
    try:
        contexts, active = config.list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]
        named = context or active["name"]
        chosen = next((item for item in contexts if item["name"] == named), None)
        if chosen is None:
            known = ", ".join(item["name"] for item in contexts)
            raise MissingError(f"There is no context {named}; there are {known}.")
        client: ApiClient = config.new_client_from_config(kubeconfig, named)  # type: ignore[no-untyped-call]
    except ConfigException as error:
        raise MissingError(
            f"No cluster is configured: {str(error).rstrip('.')}. Set KUBECONFIG or --kubeconfig."
        ) from error
    return client, chosen["context"].get("namespace") or "default"


def ask(
    client: ApiClient,
    method: str,
    path: str,
    query: Sequence[tuple[str, str]] = (),
    body: Object | None = None,
    limit: float = TIMEOUT,
) -> Answer:
    """Return the server's answer, whatever its status.

    Raises:
        MissingError: the server can't be reached.
    """
    from urllib3.exceptions import HTTPError

    headers = {"Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
    request = client.param_serialize(
        method, path, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"]
    )
    try:
        response = client.call_api(*request, _request_timeout=limit)
        return Answer(int(response.status), _content(response.read()))  # type: ignore[no-untyped-call]
    except HTTPError as error:
        host = client.configuration.host
        raise MissingError(f"{host} does not answer: {error}. Is the cluster up?") from error


def _content(body: bytes) -> Any:
    try:
        return json.loads(body or b"{}")
    except ValueError:
        return {"message": body.decode(errors="replace")}


def take(client: ApiClient, demand: Demand) -> Snapshot:
    """Read what the checks need, several things at a time.

    Raises:
        MissingError: the server can't be reached.
    """
    version = ask(client, "GET", "/version").content
    reads = list(_reads(demand))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda read: _read(client, read), reads))
        trials = dict(pool.map(lambda trial: (trial[0], _try(client, *trial[1:])), _trials(demand)))
    objects: dict[str, list[Object]] = {}
    denied: dict[str, str] = {}
    for read, found in zip(reads, answers, strict=True):
        if found is None:
            denied[read.plural] = read.rule
        elif found or read.name is None:
            objects.setdefault(read.plural, []).extend(found)
    unknown = {read.plural for read, found in zip(reads, answers, strict=True) if found == [None]}
    return Snapshot(
        version=(int(version["major"]), int("".join(filter(str.isdigit, version["minor"])))),
        objects={plural: items for plural, items in objects.items() if plural not in unknown},
        denied=denied,
        dry_runs={name: said for name, said in trials.items() if said is not None},
        kubelet=_kubelet(client, demand, objects.get("nodes", ())),
    )


def _kubelet(client: ApiClient, demand: Demand, nodes: Sequence[Object]) -> Object | None:
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
    conditions, addresses = node["status"].get("conditions") or (), node["status"].get("addresses") or ()
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    return ready and any(item["type"] == "InternalIP" for item in addresses)


def _reads(demand: Demand) -> Iterable[Read]:
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
    for plural in ("services", "persistentvolumeclaims", "resourcequotas", "limitranges"):
        yield Read(plural, "v1", here)
    yield Read("networkpolicies", "networking.k8s.io/v1", here)
    yield Read("leaderworkersets", "leaderworkerset.x-k8s.io/v1", here)
    yield Read("localqueues", "kueue.x-k8s.io/v1beta1", here)
    for plural in ("podmonitors", "prometheusrules"):
        yield Read(plural, "monitoring.coreos.com/v1", here)
    asked = {(item.kind, item.name) for pod in demand.pods for item in references(pod.spec)}
    for kind, name in sorted(asked):
        if not demand.renders(kind, name):
            yield Read(PLURALS[kind], "v1", here, name)


def _read(client: ApiClient, read: Read) -> list[Any] | None:
    """Return the objects, None when they may not be read, and a list with None when the server knows no such kind."""
    query = [("limit", str(PAGE))] if read.name is None else []
    query += [("fieldSelector", read.fields)] if read.fields else []
    found: list[Any] = []
    more = ""
    while True:
        answer = ask(client, "GET", read.path, [*query, *([("continue", more)] if more else [])])
        if answer.status in (401, 403):
            return None
        if answer.status == 404:
            return [] if read.name else [None]
        if answer.status != 200:
            raise MissingError(f"the server answers {read.path} with {answer.status}: {_message(answer)}")
        if read.name:
            return [answer.content]
        found += answer.content["items"]
        more = answer.content["metadata"].get("continue") or ""
        if not more:
            return found


def _trials(demand: Demand) -> Iterable[tuple[str, str, str, Object]]:
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
    message = _message(answer)
    unasked = answer.status == 401 or any(words in message for words in RBAC_WORDS) or answer.status == 404
    return None if unasked else message


def _message(answer: Answer) -> str:
    content = answer.content
    return str(content.get("message") or content) if isinstance(content, dict) else str(content)
