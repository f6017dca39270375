"""Whether an API server kept what it was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vmn.core.cluster.quantity import QUANTITY, quantity


def lost_paths(given: Any, kept: Any) -> list[str]:
    """Return the paths at which ``kept`` lacks what ``given`` has; it may have more.

    Numbers equal their texts, and ``5120Mi`` is ``5Gi``, as quantities are stored in their own way; what is
    null, or an empty map or list, says nothing.
    """
    return sorted(_lost(given, kept, "$"))


def _lost(given: Any, kept: Any, path: str) -> Iterator[str]:
    if given in (None, {}, []):
        return
    if isinstance(given, Mapping):
        there = kept if isinstance(kept, Mapping) else {}
        for key, value in given.items():
            yield from _lost(value, there.get(key), f"{path}.{key}")
    elif isinstance(given, list):
        yield from _lost_items(given, kept if isinstance(kept, list) else [], path)
    elif given != kept and not _same_quantity(given, kept):
        yield f"{path}: {given!r} became {kept!r}"


def _same_quantity(given: Any, kept: Any) -> bool:
    if isinstance(given, bool) or not all(QUANTITY.fullmatch(str(value)) for value in (given, kept)):
        return False
    return quantity(given) == quantity(kept)


def _lost_items(given: list[Any], kept: list[Any], path: str) -> Iterator[str]:
    """Compare by names where items have them, as a server may add some before."""
    if all(isinstance(item, Mapping) and "name" in item for item in given):
        named = {item["name"]: item for item in kept if isinstance(item, Mapping) and "name" in item}
        for item in given:
            yield from _lost(item, named.get(item["name"]), f"{path}[{item['name']}]")
    else:
        for index, item in enumerate(given):
            yield from _lost(item, kept[index] if index < len(kept) else None, f"{path}[{index}]")
