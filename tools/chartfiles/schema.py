"""The chart's values.schema.json from its values.schema.yaml, and walking through it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from vmn.core.values.schema import HINT, RENAMED, is_hint, is_renamed, known_keys
from vmn.core.values.yaml import parse_values

Schema = Mapping[str, Any]
COMMENT = "Written by `make generate` from values.schema.yaml; do not edit."


def generated_schema(source: str, renamed: str = "") -> str:
    """Return the JSON text for a source in YAML, and for the chart's ``renamed.yaml``."""
    body = with_hints(with_renamed(parse_values(source), parse_values(renamed)))
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


def with_hints(node: Any) -> Any:
    """Return a schema whose errors, as Helm words them, say what to write instead.

    Helm words an unknown key or a pattern without a fix. A constant is worded with its value: so an unknown key must
    be a sentence that lists the allowed ones, and a text without the wanted form must be the form's description.
    ``vmn.core.values.schema.without_hints`` takes both back.
    """
    if isinstance(node, list):
        return [with_hints(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: with_hints(value) for key, value in node.items()}
    if is_closed(node):
        allowed = ", ".join(known_keys(node))
        result["additionalProperties"] = {"$comment": HINT, "const": f"left out; allowed: {allowed}"}
    if isinstance(node.get("pattern"), str) and "title" in node:
        wrong = {"type": "string", "not": {"pattern": node["pattern"]}}
        result["allOf"] = [{"$comment": HINT, "if": wrong, "then": {"const": node["title"]}}]
    elif "type" in node and _form(node):
        # Beside a type or an enum that does not fit nothing else is looked at; parts of an allOf are.
        moved = [{"$comment": HINT, key: result.pop(key)} for key in ("type", "enum") if key in node]
        result["allOf"] = [*moved, {"$comment": HINT, "pattern": f"^{_form(node)}$"}]
    return result


def _form(node: Schema) -> str:
    """Return what to write where a text is wrong, for the pattern of a hint: Helm words it together with the text."""
    kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
    if "enum" in node:
        return f"({'|'.join(str(choice) for choice in node['enum'] if choice is not None)})"
    if "string" in kinds:
        return ""
    names = {
        "integer": "a whole number without quotes",
        "number": "a number without quotes",
        "boolean": "(true|false) without quotes",
    }
    return next((form for kind, form in names.items() if kind in kinds), "")


def is_closed(node: Schema) -> bool:
    """Return whether a schema lists all keys that an object may have."""
    additional = node.get("additionalProperties")
    return (additional is False or is_hint(additional)) and isinstance(node.get("properties"), Mapping)


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
