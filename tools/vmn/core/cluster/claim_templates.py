"""Templates of volume claims: how those that a release asks for differ from those that its StatefulSet has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from vmn.core.cluster.quantity import quantity
from vmn.core.cluster.snapshot import Object

DEFAULT_MODE = "Filesystem"
"""The ``volumeMode`` that the API server fills in (Kubernetes 1.36, pkg/apis/core/v1/defaults.go)."""


def differences(before: Sequence[Object] | None, after: Sequence[Object] | None) -> list[str]:
    """Return in words how two lists of ``volumeClaimTemplates`` differ, empty when they mean the same.

    What is compared is what LeaderWorkerSet copies to its StatefulSet (lws 0.9.0, GetPVCApplyConfiguration in
    pkg/utils/controller). Labels and annotations are not copied.
    """
    old, new = ({item["metadata"]["name"]: item.get("spec") or {} for item in found or ()} for found in (before, after))
    removed = (f"claim {name} is removed" for name in old if name not in new)
    added = (f"claim {name} is added" for name in new if name not in old)
    changed = (_changes(name, old[name], new[name]) for name in old if name in new)
    return [*removed, *added, *chain.from_iterable(changed)]


def _changes(name: str, old: Object, new: Object) -> Iterator[str]:
    before, after = _facts(old), _facts(new)
    for what in sorted(before.keys() | after.keys()):
        (is_now, said_now), (wanted, said_wanted) = (facts.get(what, (None, "unset")) for facts in (before, after))
        if is_now != wanted:
            yield f"the {what} of claim {name} changes from {said_now} to {said_wanted}"


def _facts(spec: Object) -> Mapping[str, tuple[object, str]]:
    """Return each property of a claim, as a value that can be compared and in words."""
    modes = sorted(spec.get("accessModes") or ())
    mode = spec.get("volumeMode") or DEFAULT_MODE
    facts: dict[str, tuple[object, str]] = {"access mode": (modes, ", ".join(modes)), "volume mode": (mode, mode)}
    if (storage_class := spec.get("storageClassName")) is not None:
        facts["StorageClass"] = (storage_class, storage_class or '""')
    resources = spec.get("resources") or {}
    for field, what in (("requests", "size"), ("limits", "limit")):
        for resource, amount in (resources.get(field) or {}).items():
            key = what if resource == "storage" else f"{what} of {resource}"
            facts[key] = (quantity(amount), str(amount))
    return facts
