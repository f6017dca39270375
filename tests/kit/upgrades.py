"""What an upgrade changes: fields of rendered objects over several values files, as a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chartfiles.tables import table
from kit.diff import changed_paths
from kit.render import Manifests

OF_THE_VERSION = frozenset({"metadata.labels.helm.sh/chart", "metadata.labels.app.kubernetes.io/version"})
"""Labels that change with each version of the chart. Pod templates and selectors do not have them."""
ROLES = ("leader", "worker")
POD = re.compile(r"spec\.leaderWorkerTemplate\.(leader|worker)Template\.")
TOPOLOGIES = tuple(
    f"metadata.annotations.leaderworkerset.sigs.k8s.io/{name}"
    for name in ("exclusive-topology", "subgroup-exclusive-topology")
)
REMAKES = ("spec.leaderWorkerTemplate", "spec.networkConfig", *TOPOLOGIES)
"""Fields that LeaderWorkerSet copies to a revision (pkg/utils/revision of 0.9) or to the leaders' StatefulSet. A change
of them recreates all groups."""
SHOWN = 40
"""Maximum number of characters of a value in the table."""


@dataclass(frozen=True, order=True)
class Change:
    """A field that differs, with its values as the table shows them."""

    kind: str
    field: str
    restarts: bool
    """Whether the change recreates all groups."""
    before: str = ""
    after: str = ""


def changes(before: Manifests, after: Manifests) -> set[Change]:
    """Return the fields at which two renderings differ, except for labels with the chart's version."""
    old, new = (_by_name(manifests) for manifests in (before, after))
    found: set[Change] = set()
    for key in {*old, *new}:
        if key in old and key in new:
            found |= set(_differing(key[0], old[key], new[key]))
        else:
            found.add(Change(key[0], f"{key[1]}: {'gone' if key in old else 'new'}", False))
    return found


def rows(by_file: Mapping[str, set[Change]]) -> list[tuple[str, ...]]:
    """Return one row per field: the values files, the old and the new value, and whether pods restart."""
    fields = sorted({(one.kind, one.field, one.restarts) for found in by_file.values() for one in found})
    return [_row(kind, field, restarts, by_file) for kind, field, restarts in fields]


def _row(kind: str, field: str, restarts: bool, by_file: Mapping[str, set[Change]]) -> tuple[str, ...]:
    of = {name: one for name, found in by_file.items() for one in found if (one.kind, one.field) == (kind, field)}
    values = {(one.before, one.after) for one in of.values()}
    before, after = values.pop() if len(values) == 1 else ("differs", "differs")
    files = "all" if len(of) == len(by_file) else ", ".join(sorted(of))
    return kind, f"`{field}`", files, before, after, "yes" if restarts else "no"


def summary(title: str, by_file: Mapping[str, set[Change]]) -> str:
    """Return the table with its title, or a sentence if nothing changes."""
    found = rows(by_file)
    if not found:
        return f"{title}: no field changes."
    return f"{title}:\n\n" + table(("Object", "Field", "Values files", "Before", "Now", "Restarts pods"), found)


def _by_name(manifests: Manifests) -> dict[tuple[str, str], dict[str, Any]]:
    found = {(one["kind"], one["metadata"]["name"]): _readable(one) for one in manifests}
    for one in found.values():
        one["metadata"].setdefault("annotations", {})  # so that a first annotation has a path of its own
    return found


def _differing(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    paths = [path for path in changed_paths(before, after) if path not in OF_THE_VERSION]
    roles: dict[str, set[str]] = {}
    for path in paths:
        role = POD.match(path)
        if role:
            inside = re.sub(rf"\[vllm-{role[1]}\]", "[vllm]", path[role.end() :])
            roles.setdefault(inside, set()).add(role[1])
        else:
            restarts = kind == "LeaderWorkerSet" and path.startswith(REMAKES)
            yield Change(kind, path, restarts, *(_shown(one, path) for one in (before, after)))
    for inside, of in roles.items():
        first = min(of)
        full = f"spec.leaderWorkerTemplate.{first}Template.{inside.replace('[vllm]', f'[vllm-{first}]')}"
        pods = "pods" if len(of) == len(ROLES) else first
        yield Change(kind, f"{pods}: {inside}", True, *(_shown(one, full) for one in (before, after)))


def _readable(node: Any) -> Any:
    """Return an object with arguments by flag, so that a new flag does not shift all that follow."""
    if isinstance(node, list):
        return [_readable(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    return {
        key: by_flag(value) if key == "args" and isinstance(value, list) else _readable(value)
        for key, value in node.items()
    }


def by_flag(words: Sequence[str]) -> dict[str, str]:
    """Return the words of a command line by flag. Words before the first flag have an empty key."""
    found: dict[str, str] = {}
    flag = ""
    for word in map(str, words):
        if word.startswith("--"):
            flag = word
            found.setdefault(flag, "")
        else:
            found[flag] = f"{found.get(flag, '')} {word}".strip()
    return found


def _shown(document: Any, path: str) -> str:
    """Return the value at a path of ``changed_paths``, shortened, or a dash if it does not exist."""
    value = _at(document, path)
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value)
    text = " ".join(text.split())
    return f"`{text if len(text) <= SHOWN else text[: SHOWN - 1] + '…'}`" if text else '`""`'


def _at(node: Any, path: str) -> Any:
    """Follow a path. Keys may contain dots, so the longest matching key is used."""
    if not path:
        return node
    if isinstance(node, Mapping):
        keys = [key for key in node if path == key or path.startswith((f"{key}.", f"{key}["))]
        if not keys:
            return None
        key = max(keys, key=len)
        return _at(node[key], path[len(key) :].removeprefix("."))
    item = re.match(r"\[([^]]*)\]\.?", path)
    if item and isinstance(node, list):
        for index, inner in enumerate(node):
            name = str(inner["name"]) if isinstance(inner, Mapping) and "name" in inner else str(index)
            if name == item[1]:
                return _at(inner, path[item.end() :])
    return None
