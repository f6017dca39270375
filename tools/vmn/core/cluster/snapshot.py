"""What was read from a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """A cluster as it was when it was read.

    Attributes:
        version: of the server, such as (1, 37).
        objects: what was read, by plural name, such as ``nodes``; of namespaced kinds those of the release's namespace,
            but pods of all.
        denied: what may not be read: plural name -> the RBAC rule that would allow it.
        kubelet: configuration of one node with GPUs, None when it can't be read.
        dry_runs: what the server says to objects that it was shown without making them, by ``Kind/name``; empty for
            yes.
    """

    version: tuple[int, int]
    objects: Mapping[str, Sequence[Object]] = field(default_factory=dict)
    denied: Mapping[str, str] = field(default_factory=dict)
    dry_runs: Mapping[str, str] = field(default_factory=dict)
    kubelet: Object | None = None

    def served(self, plural: str) -> bool:
        """Return whether the server knows a kind that was asked for."""
        return plural in self.objects or plural in self.denied

    def all(self, plural: str) -> Sequence[Object]:
        """Return what was read of a kind, nothing when it may not be read."""
        return self.objects.get(plural, ())

    def named(self, plural: str, name: str) -> Object | None:
        """Return one object."""
        return next((item for item in self.all(plural) if item["metadata"]["name"] == name), None)


def condition_of(item: Object, kind: str) -> Object:
    """Return a condition of an object's status, empty when it has none of that type."""
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
