"""The objects of a cluster, as they were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """A cluster as it was when it was read.

    Attributes:
        version: version of the API server, such as (1, 37).
        objects: the objects by plural name, such as ``nodes``; namespaced objects are of the release's namespace,
            except for pods.
        denied: what the user may not read: for each plural name the RBAC rule that would allow it.
        kubelet: the kubelet's configuration of one node with GPUs, None when it can't be read.
        dry_runs: the API server's answers to dry runs, by ``Kind/name``; an empty answer accepts the object.
    """

    version: tuple[int, int]
    objects: Mapping[str, Sequence[Object]] = field(default_factory=dict)
    denied: Mapping[str, str] = field(default_factory=dict)
    dry_runs: Mapping[str, str] = field(default_factory=dict)
    kubelet: Object | None = None

    def served(self, plural: str) -> bool:
        """Return whether the API server knows a kind that was requested."""
        return plural in self.objects or plural in self.denied

    def all(self, plural: str) -> Sequence[Object]:
        """Return the objects of a kind, empty when the user may not read them."""
        return self.objects.get(plural, ())

    def named(self, plural: str, name: str) -> Object | None:
        """Return an object by name, None when it does not exist."""
        return self._names(plural).get(name)

    def _names(self, plural: str) -> Mapping[str, Object]:
        """Return the objects of a kind by name; the first one of a name counts."""
        known = self._by_name
        if plural not in known:
            known[plural] = {item["metadata"]["name"]: item for item in reversed(self.all(plural))}
        return known[plural]

    @cached_property
    def _by_name(self) -> dict[str, Mapping[str, Object]]:
        return {}


def condition_of(item: Object, kind: str) -> Object:
    """Return a condition of an object, empty when it has none of that type."""
    entries = (item.get("status") or {}).get("conditions") or ()
    return next((entry for entry in entries if entry["type"] == kind), {})


def labels_of(item: Object) -> Mapping[str, str]:
    """Return an object's labels."""
    found: Mapping[str, str] = item["metadata"].get("labels") or {}
    return found


def annotations_of(item: Object) -> Mapping[str, str]:
    """Return an object's annotations."""
    found: Mapping[str, str] = item["metadata"].get("annotations") or {}
    return found
