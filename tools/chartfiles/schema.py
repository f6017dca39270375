"""Write the chart's values.schema.json from its values.schema.yaml, and walk through it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from vmn.core.values.schema import RENAMED, is_renamed
from vmn.core.values.yaml import parse_values

Schema = Mapping[str, Any]
COMMENT = "Written by `make generate` from values.schema.yaml; do not edit."


def generated_schema(source: str, renamed: str = "") -> str:
    """Return the JSON text for a source in YAML and the chart's ``renamed.yaml``."""
    known = with_renamed(parse_values(source), parse_values(renamed))
    body = inlined(known, known)
    return (
        json.dumps({"$schema": body.pop("$schema"), "$comment": COMMENT, **body}, indent=2, ensure_ascii=False) + "\n"
    )


def with_renamed(source: Schema, renamed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that accepts values of earlier versions, so that a rule can refuse them by name.

    Raises:
        ValueError: this version has such a value, too.
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
        about = f"Renamed to {entry['to']}." if entry.get("to") else f"Removed. {entry.get('how', '')}".strip()
        here["properties"][name] = {"$comment": RENAMED, "description": about}
    return body


def inlined(node: Any, root: Schema) -> Any:
    """Return a schema without references, as some editors ignore a description beside a reference."""
    if isinstance(node, list):
        return [inlined(item, root) for item in node]
    if not isinstance(node, Mapping):
        return node
    return {key: inlined(value, root) for key, value in resolved(node, root).items() if key != "definitions"}


def required_yaml(schema: str) -> str:
    """Return the chart's ``required.yaml`` for its generated schema."""
    keys = "\n".join(f"  - {key}" for key in required_keys(json.loads(schema)))
    return f"# {COMMENT}\n# Keys that must not be null, each after the map that contains it.\nkeys:\n{keys}\n"


def required_keys(node: Schema, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield every dotted key that must not be null, maps before their keys.

    Helm removes a key that is null before it looks at the schema, and what is missing then renders as if it were off:
    ``networkPolicy.enabled: null`` would render no NetworkPolicy. Maps inside lists, and maps that may be null
    themselves, are left alone, as values.yaml has no defaults for their keys.
    """
    for key, inner in node["properties"].items():
        if is_renamed(inner) or may_be_null(inner):
            continue
        yield ".".join([*path, key])
        if inner.get("type") == "object" and is_closed(inner):
            yield from required_keys(inner, (*path, key))


def may_be_null(node: Schema) -> bool:
    """Return whether a value of a schema without references may be null."""
    choices = node.get("anyOf") or node.get("oneOf") or []
    kinds = node.get("type", [])
    return "null" in ([kinds] if isinstance(kinds, str) else kinds) or any(map(may_be_null, choices))


def is_closed(node: Schema) -> bool:
    """Return whether a schema lists all keys that a map may have."""
    return node.get("additionalProperties") is False and isinstance(node.get("properties"), Mapping)


def resolved(node: Schema, root: Schema) -> Schema:
    """Return a schema with its reference to ``definitions`` replaced. Keywords beside the reference take precedence."""
    if "$ref" not in node:
        return node
    name = str(node["$ref"]).removeprefix("#/definitions/")
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return {**resolved(root["definitions"][name], root), **beside}


def schema_leaves(root: Schema, node: Schema | None = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Schema]]:
    """Yield the dotted key and the schema of every value. A passthrough counts as one value."""
    here = resolved(root if node is None else node, root)
    properties = here.get("properties")
    if isinstance(properties, Mapping) and properties:
        for key in properties:
            if not is_renamed(properties[key]):
                yield from schema_leaves(root, properties[key], (*path, key))
    else:
        yield ".".join(path), here


def closed_objects(root: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the dotted key (empty for the root) and the schema of every closed map."""

    def walk(node: Schema, path: tuple[str, ...]) -> Iterator[tuple[str, Schema]]:
        here = resolved(node, root)
        if is_closed(here) and not is_renamed(here):
            yield ".".join(path), here
        for key, inner in (here.get("properties") or {}).items():
            yield from walk(inner, (*path, key))

    yield from walk(root, ())
