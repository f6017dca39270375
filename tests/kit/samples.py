"""Other valid values for a leaf of a schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft7Validator

TEXTS = ("other", "other.example/name", "10Gi", "/other/path", "1h", "http://other.example", "v9.9.9", "50%", "123")


def other_values(leaf: Mapping[str, Any], now: object, root: Mapping[str, Any]) -> list[Any]:
    """Return values other than ``now`` that the schema accepts, the most likely ones first."""
    validator = Draft7Validator({**leaf, "definitions": root.get("definitions", {})})
    found: list[Any] = []
    for candidate in _candidates(leaf, now, root):
        if candidate != now and candidate is not None and candidate not in found and validator.is_valid(candidate):
            found.append(candidate)
    return found


def _candidates(leaf: Mapping[str, Any], now: object, root: Mapping[str, Any]) -> Iterator[Any]:
    if "$ref" in leaf:
        name = str(leaf["$ref"]).removeprefix("#/definitions/")
        yield from _candidates(root["definitions"][name], now, root)
    yield from leaf.get("examples", [])
    yield from leaf.get("enum", [])
    for inner in [*leaf.get("anyOf", []), *leaf.get("oneOf", [])]:
        yield from _candidates(inner, now, root)
    kinds = leaf.get("type", ["boolean", "integer", "string"])
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        yield from _of_kind(str(kind), leaf, now, root)


def _of_kind(kind: str, leaf: Mapping[str, Any], now: object, root: Mapping[str, Any]) -> Iterator[Any]:
    match kind:
        case "boolean":
            yield from (True, False)
        case "integer" | "number":
            base = now if isinstance(now, int | float) and not isinstance(now, bool) else leaf.get("minimum", 1)
            yield from (base + 1, base * 2, base - 1, base / 2 if kind == "number" else base // 2)
            yield from (leaf.get("minimum"), leaf.get("maximum"))
        case "string":
            yield from (f"{now}x" if now else None, *TEXTS)
        case "array":
            items = leaf.get("items", {})
            for value in [*_candidates(items, None, root), {"name": "other"}]:
                yield [value]
        case "object":
            yield from _with_properties(leaf, root)
            inner = leaf.get("additionalProperties", {})
            values = list(_candidates(inner, None, root)) if isinstance(inner, Mapping) else ["other"]
            for value in values or ["other"]:
                yield {"OTHER": value}
                yield {"other": value}
        case _:
            return


def _with_properties(leaf: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield objects with the required properties and one more each."""
    first = {
        key: next(iter(other_values(inner, None, root)), None) for key, inner in leaf.get("properties", {}).items()
    }
    required = {key: first.get(key, "other") for key in leaf.get("required", [])}
    if required:
        yield required
    for key, value in first.items():
        yield {**required, key: value}
