"""The chart's values.schema.json from its values.schema.yaml, and walking through it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from vmn.core.schema import RENAMED, is_renamed
from vmn.core.values import parse_values

Schema = Mapping[str, Any]
COMMENT = "Written by `make generate` from values.schema.yaml; do not edit."


def generated_schema(source: str, renamed: str = "") -> str:
    """Return the JSON text for a source in YAML, and for the chart's ``renamed.yaml``."""
    known = with_renamed(parse_values(source), parse_values(renamed))
    body = inlined(known, known)
    return (
        json.dumps({"$schema": body.pop("$schema"), "$comment": COMMENT, **body}, indent=2, ensure_ascii=False) + "\n"
    )


def with_renamed(source: Schema, renamed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that lets values of earlier versions pass, to the rule that says what has become of them.

    Raises:
        ValueError: such a value is one of this version's as well.
    """
    body: dict[str, Any] = copy.deepcopy(dict(source))
    for key, entry in renamed.items():
        *groups, name = key.split(".")
        here = body
        for group in groups:
            gone = {"$comment": RENAMED, "type": "object", "additionalProperties": False, "properties": {}}
            inside = here["properties"].get(group, gone)
            here["properties"][group] = copy.deepcopy(dict(resolved(inside, body)))
            here = here["properties"][group]
        if name in here["properties"] and not is_renamed(here["properties"][name]):
            raise ValueError(f"renamed.yaml: {key} is a value of this version")
        about = f"Now {entry['to']}." if entry.get("to") else "No longer a value."
        here["properties"][name] = {"$comment": RENAMED, "description": about}
    return body


def inlined(node: Any, root: Schema) -> Any:
    """Return a schema whose references are followed: editors show no description that stands beside a reference."""
    if isinstance(node, list):
        return [inlined(item, root) for item in node]
    if not isinstance(node, Mapping):
        return node
    return {key: inlined(value, root) for key, value in resolved(node, root).items() if key != "definitions"}


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
        for key in properties:
            if not is_renamed(properties[key]):
                yield from schema_leaves(root, properties[key], (*path, key))
    else:
        yield ".".join(path), here


def closed_objects(root: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the dotted key (empty for the root) and schema of every closed object among the values."""

    def walk(node: Schema, path: tuple[str, ...]) -> Iterator[tuple[str, Schema]]:
        here = resolved(node, root)
        if is_closed(here) and not is_renamed(here):
            yield ".".join(path), here
        for key, inner in (here.get("properties") or {}).items():
            yield from walk(inner, (*path, key))

    yield from walk(root, ())
