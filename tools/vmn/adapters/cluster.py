"""A cluster through the Kubernetes API: connecting to it, and reading many objects at once."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmn.adapters.programs import MissingError
from vmn.core.cluster.snapshot import Object, Snapshot

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TIMEOUT = 30
"""Seconds for each request."""
AT_ONCE = 8
PAGE = 500
"""Objects per answer; further objects come with the next answer."""


@dataclass(frozen=True)
class Read:
    """A request for objects of a kind.

    Attributes:
        plural: plural name of the kind.
        group: API group and version, such as ``apps/v1``; ``v1`` for the core.
        namespace: a namespace, None for all.
        name: name of one object, None for all.
        fields: a field selector.
        labels: a label selector.
    """

    plural: str
    group: str
    namespace: str | None = None
    name: str | None = None
    fields: str | None = None
    labels: str | None = None

    @property
    def path(self) -> str:
        """The path on the API server."""
        root = f"/api/{self.group}" if "/" not in self.group else f"/apis/{self.group}"
        inside = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{root}{inside}/{self.plural}{'/' + self.name if self.name else ''}"

    @property
    def rule(self) -> str:
        """How to allow the request with RBAC."""
        group = self.group.partition("/")[0] if "/" in self.group else '""'
        kind = f"a Role in {self.namespace}" if self.namespace else "a ClusterRole"
        verb = "get" if self.name else "list"
        return f"Add to {kind}: {{apiGroups: [{group}], resources: [{self.plural}], verbs: [{verb}]}}."


@dataclass(frozen=True)
class Found:
    """What a read found.

    Attributes:
        objects: the objects, empty when there are none.
        denied: whether the user may not read them.
        unknown: whether the server does not know the kind.
    """

    objects: Sequence[Object] = ()
    denied: bool = False
    unknown: bool = False


@dataclass(frozen=True)
class Answer:
    """The HTTP status and the JSON of the server's answer."""

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
            raise MissingError(f"Context {named} does not exist. Use one of {known}.")
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
    """Return the server's answer, whatever its status; text that is not JSON becomes its ``message``.

    Raises:
        MissingError: the API server can't be reached.
    """
    status, content = _send(client, method, path, query, body, limit)
    try:
        return Answer(status, json.loads(content or "{}"))
    except ValueError:
        return Answer(status, {"message": content})


def ask_text(
    client: ApiClient, path: str, query: Sequence[tuple[str, str]] = (), limit: float = TIMEOUT
) -> tuple[int, str]:
    """Return the status and the text of something that is not an object, such as a log.

    Raises:
        MissingError: the API server can't be reached, or does not answer in time.
    """
    return _send(client, "GET", path, query, None, limit)


def _send(
    client: ApiClient, method: str, path: str, query: Sequence[tuple[str, str]], body: Object | None, limit: float
) -> tuple[int, str]:
    from urllib3.exceptions import HTTPError

    headers = {"Accept": "application/json, */*"}
    if body is not None:
        headers["Content-Type"] = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
    request = client.param_serialize(
        method, path, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"]
    )
    try:
        response = client.call_api(*request, _request_timeout=limit)
        content: bytes = response.read()  # type: ignore[no-untyped-call]
        return int(response.status), content.decode(errors="replace")
    except HTTPError as error:
        host = client.configuration.host
        raise MissingError(f"{host} does not answer: {error}. Is the cluster up?") from error


def gather(client: ApiClient, reads: Sequence[Read]) -> Snapshot:
    """Read objects, several requests at a time.

    Raises:
        MissingError: the API server can't be reached.
    """
    version = ask(client, "GET", "/version").content
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda item: _read(client, item), reads))
    objects: dict[str, list[Object]] = {}
    denied: dict[str, str] = {}
    for item, found in zip(reads, answers, strict=True):
        if found.denied:
            denied[item.plural] = item.rule
        elif found.objects or item.name is None:
            objects.setdefault(item.plural, []).extend(found.objects)
    unknown = {item.plural for item, found in zip(reads, answers, strict=True) if found.unknown}
    return Snapshot(
        version=(int(version["major"]), int("".join(filter(str.isdigit, version["minor"])))),
        objects={plural: items for plural, items in objects.items() if plural not in unknown},
        denied=denied,
    )


def _read(client: ApiClient, item: Read) -> Found:
    query = [("limit", str(PAGE))] if item.name is None else []
    query += [("fieldSelector", item.fields)] if item.fields else []
    query += [("labelSelector", item.labels)] if item.labels else []
    found: list[Object] = []
    more = ""
    while True:
        answer = ask(client, "GET", item.path, [*query, *([("continue", more)] if more else [])])
        if answer.status in (401, 403):
            return Found(denied=True)
        if answer.status == 404:
            return Found(unknown=item.name is None)
        if answer.status != 200:
            raise MissingError(f"the API server answers {item.path} with {answer.status}: {message(answer)}")
        if item.name:
            return Found([answer.content])
        found += answer.content["items"]
        more = answer.content["metadata"].get("continue") or ""
        if not more:
            return Found(found)


def message(answer: Answer) -> str:
    """Return the server's message for people."""
    content = answer.content
    return str(content.get("message") or content) if isinstance(content, dict) else str(content)
