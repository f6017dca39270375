"""Objects of the cluster of KUBECONFIG by its API: kubectl takes 0.1 s of a processor for each call, this 5 ms."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vmn.adapters import cluster
from vmn.adapters.programs import MissingError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Object = dict[str, Any]
Query = Sequence[tuple[str, str]]
LIMIT = 15
"""Seconds for an answer; the client repeats a request three times."""
MANAGER = "vllm-multinode-tests"
"""Field manager of what tests apply."""


class Refused(Exception):  # noqa: N818 - reads as what happened
    """The API server refused a request, or did not answer; the message says what it said."""


@dataclass(frozen=True)
class Kind:
    """A kind of objects, as the API server serves it.

    Attributes:
        version: API group and version, such as ``apps/v1``; ``v1`` for the core.
        plural: its name in paths.
        name: its name in objects.
        namespaced: whether its objects are in namespaces.
    """

    version: str
    plural: str
    name: str
    namespaced: bool

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Return the path of all objects, or of one; without a namespace, of all namespaces."""
        inside = namespace if self.namespaced else None
        return cluster.Read(self.plural, self.version, inside, name).path


@dataclass
class Server:
    """The API server of a kubeconfig, and the kinds that it serves, by each of their names."""

    client: ApiClient
    kinds: dict[str, Kind] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def kind(self, name: str, version: str = "") -> Kind:
        """Return a kind by its name, in the singular or plural, with or without its group, as kubectl takes it.

        Args:
            name: the name.
            version: API group and version, by default those that the server prefers.

        Raises:
            Refused: the server does not serve it.
        """
        key = f"{name.lower()} {version}"
        with self._lock:
            if key not in self.kinds:
                kinds: dict[str, Kind] = {}
                for kind, names in self._served():
                    for one in names:
                        kinds.setdefault(f"{one} ", kind)
                        kinds.setdefault(f"{one} {kind.version}", kind)
                self.kinds = kinds
            if key not in self.kinds:
                unread = f" and did not say what it serves of {', '.join(self.unread)}" if self.unread else ""
                raise Refused(f"the server does not serve {name} {version}{unread}")
            return self.kinds[key]

    def objects(self, kind: Kind, namespace: str | None, selector: str | None) -> list[Object]:
        """Return all objects of a kind that a label selector selects.

        Raises:
            Refused: the server refuses the request.
        """
        query = [("labelSelector", selector)] if selector else []
        items = self._ask("GET", kind.path(namespace), query)["items"]
        return [{"apiVersion": kind.version, "kind": kind.name, **shown(item)} for item in items]

    def get(self, kind: Kind, name: str, namespace: str | None) -> Object | None:
        """Return one object, nothing when it is not there.

        Raises:
            Refused: the server refuses the request.
        """
        answer = self._answer("GET", kind.path(namespace, name))
        if answer.status == 404 and answer.content.get("details", {}).get("name") == name:
            return None
        return shown(self._content(answer))

    def apply(self, document: Mapping[str, Any], namespace: str | None) -> None:
        """Create or update one object, by server-side apply.

        Raises:
            Refused: the server refuses it.
        """
        kind = self.kind(document["kind"], document["apiVersion"])
        inside = namespace or document["metadata"].get("namespace") or "default"
        query = [("fieldManager", MANAGER), ("fieldValidation", "Strict")]
        self._ask("PATCH", kind.path(inside, document["metadata"]["name"]), query, dict(document))

    def _served(self) -> Iterator[tuple[Kind, Sequence[str]]]:
        """Yield each kind with its names; the kinds of the core and preferred versions come first."""
        versions = ["v1"]
        for group in self._ask("GET", "/apis")["groups"]:
            preferred = group["preferredVersion"]["groupVersion"]
            others = [item["groupVersion"] for item in group["versions"]]
            versions += [preferred, *(version for version in others if version != preferred)]
        self.unread = []
        for version in versions:
            group = version.rpartition("/")[0]
            root = f"/apis/{version}" if group else f"/api/{version}"
            answer = self._answer("GET", root)
            if answer.status >= 300 and group:  # such as of an aggregated server that is away
                self.unread.append(version)
                continue
            for item in self._content(answer)["resources"]:
                if "/" not in item["name"]:
                    own = {item["name"], item["kind"].lower(), *item.get("shortNames", ())}
                    names = [*own, *(f"{name}.{group}" for name in own if group)]
                    yield Kind(version, item["name"], item["kind"], item["namespaced"]), names

    def _ask(self, method: str, path: str, query: Query = (), body: Object | None = None) -> Any:
        return self._content(self._answer(method, path, query, body))

    def _answer(self, method: str, path: str, query: Query = (), body: Object | None = None) -> cluster.Answer:
        try:
            return cluster.ask(self.client, method, path, query, body, LIMIT)
        except MissingError as error:
            raise Refused(str(error)) from error

    @staticmethod
    def _content(answer: cluster.Answer) -> Any:
        if answer.status >= 300:
            raise Refused(f"{answer.status}: {cluster.message(answer)}")
        return answer.content


def shown(item: Object) -> Object:
    """Return an object as kubectl prints it: without the managers of its fields."""
    return {**item, "metadata": {key: value for key, value in item["metadata"].items() if key != "managedFields"}}


def server() -> Server:
    """Return the API server of KUBECONFIG.

    Raises:
        MissingError: KUBECONFIG names no cluster.
    """
    return _server(os.environ.get("KUBECONFIG", ""))


@lru_cache(maxsize=8)
def _server(kubeconfig: str) -> Server:
    return Server(cluster.connect(kubeconfig)[0])
