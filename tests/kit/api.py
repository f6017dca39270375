"""Objects of the cluster of KUBECONFIG by its API: kubectl takes 0.1 s of a processor for each call, this 5 ms."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vmn.adapters import cluster
from vmn.adapters.programs import MissingError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Object = dict[str, Any]
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

    def kind(self, name: str) -> Kind:
        """Return a kind by its name, in the singular or plural, with or without its group, as kubectl takes it.

        Raises:
            Refused: the server does not serve it.
        """
        key = name.lower()
        if key not in self.kinds:
            self.kinds = {}
            for kind, names in self._served():
                for one in names:
                    self.kinds.setdefault(one, kind)
        if key not in self.kinds:
            raise Refused(f"the server does not serve {name}")
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
        found: Object | None = self._ask("GET", kind.path(namespace, name), missing=None)
        return shown(found) if found else None

    def apply(self, document: Mapping[str, Any], namespace: str | None) -> None:
        """Create or update one object, by server-side apply.

        Raises:
            Refused: the server refuses it.
        """
        group = str(document["apiVersion"]).rpartition("/")[0]
        kind = self.kind(f"{document['kind']}.{group}" if group else document["kind"])
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
        for version in versions:
            group = version.rpartition("/")[0]
            root = f"/apis/{version}" if group else f"/api/{version}"
            for item in self._ask("GET", root, missing={"resources": []})["resources"]:
                if "/" not in item["name"]:
                    own = {item["name"], item["kind"].lower(), *item.get("shortNames", ())}
                    names = [*own, *(f"{name}.{group}" for name in own if group)]
                    yield Kind(version, item["name"], item["kind"], item["namespaced"]), names

    def _ask(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: Object | None = None,
        **missing: Any,
    ) -> Any:
        """Return what the server answers; with ``missing``, that value if the object is not there."""
        try:
            answer = cluster.ask(self.client, method, path, query, body)
        except MissingError as error:
            raise Refused(str(error)) from error
        if answer.status == 404 and missing:
            return missing["missing"]
        if answer.status >= 300:
            raise Refused(f"{method} {path}: {answer.status}: {cluster.message(answer)}")
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
