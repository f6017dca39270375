"""Differences between two objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def changed_paths(one: Any, other: Any) -> list[str]:
    """Return the paths at which two objects differ. Items of lists are identified by their name if they have one."""
    return sorted(_changed(one, other, ""))


def _changed(one: Any, other: Any, path: str) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in {*one, *other}:
            where = f"{path}.{key}" if path else str(key)
            if key in one and key in other:
                yield from _changed(one[key], other[key], where)
            else:
                yield where
    elif isinstance(one, list) and isinstance(other, list):
        left, right = _named(one), _named(other)
        for key in {*left, *right}:
            if key in left and key in right:
                yield from _changed(left[key], right[key], f"{path}[{key}]")
            else:
                yield f"{path}[{key}]"
    elif one != other:
        yield path


def _named(items: list[Any]) -> dict[str, Any]:
    if items and all(isinstance(item, Mapping) and "name" in item for item in items):
        return {str(item["name"]): item for item in items}
    return {str(index): item for index, item in enumerate(items)}
