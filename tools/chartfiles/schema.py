"""The chart's values.schema.json from its values.schema.yaml, and walking through it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from vmn.core.values import parse_values

Schema = Mapping[str, Any]
COMMENT = "Written by `make generate` from values.schema.yaml; do not edit."


def generated_schema(source: str) -> str:
    """Return the JSON text for a source in YAML."""
    body = with_allowed_names(parse_values(source))
    return (
        json.dumps({"$schema": body.pop("$schema"), "$comment": COMMENT, **body}, indent=2, ensure_ascii=False) + "\n"
    )


def with_allowed_names(node: Any) -> Any:
    """Return a schema whose closed objects list their keys once more, so that Helm's own error names them."""
    if isinstance(node, list):
        return [with_allowed_names(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: with_allowed_names(value) for key, value in node.items()}
    if is_closed(node) and "patternProperties" not in node and "propertyNames" not in node:
        result["propertyNames"] = {"enum": sorted(node["properties"])}
    return result


def is_closed(node: Schema) -> bool:
    """Return whether a schema lists all keys that an object may have."""
    return node.get("additionalProperties") is False and isinstance(node.get("properties"), Mapping)


def resolved(node: Schema, root: Schema) -> Schema:
    """Return a schema with its reference into ``definitions`` followed; what stands beside it wins."""
    if "$ref" not in node:
        return node
    name = str(node["$ref"]).removeprefix("#/definitions/")
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return {**resolved(root["definitions"][name], root), **beside}


def schema_leaves(root: Schema, node: Schema | None = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Schema]]:
    """Yield the dotted key and schema of every value that can be set; free-form maps count as one."""
    here = resolved(root if node is None else node, root)
    properties = here.get("properties")
    if isinstance(properties, Mapping) and properties:
        for key, inner in properties.items():
            yield from schema_leaves(root, inner, (*path, key))
    else:
        yield ".".join(path), here


def closed_objects(root: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the dotted key (empty for the root) and schema of every closed object among the values."""

    def walk(node: Schema, path: tuple[str, ...]) -> Iterator[tuple[str, Schema]]:
        here = resolved(node, root)
        if is_closed(here):
            yield ".".join(path), here
        for key, inner in (here.get("properties") or {}).items():
            yield from walk(inner, (*path, key))

    yield from walk(root, ())
