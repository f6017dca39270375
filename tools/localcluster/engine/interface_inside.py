"""Runs in vLLM's environment: says which flags ``vllm serve`` takes, and which variables vLLM reads.

The last line printed is JSON. The flags are read from vLLM's own parser, their ranges from its configuration classes,
and the variables from its sources.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vllm
import vllm.config
from pydantic.fields import FieldInfo
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.utils.argparse_utils import FlexibleArgumentParser

VARIABLE = re.compile(r"VLLM_[A-Z0-9_]+")
BOUNDS = ("gt", "ge", "lt", "le")
READERS = {
    "int": "integer",
    "float": "number",
    "human_readable_int": "size",
    "human_readable_int_or_auto": "size",
    "loads": "json",
    "parse_dataclass": "json",
}
"""Names of the functions that read a value, and the type of that value; any other takes a text. A ``folded`` text may
be in upper case and have hyphens for underscores."""


def main() -> dict[str, Any]:
    """Return the version, the flags, and the variables."""
    known, found = options(), bounds()
    flags = {name: described(name, known, found) for name in known if not is_negative(name, known)}
    return {"version": vllm.__version__, "flags": dict(sorted(flags.items())), "variables": sorted(variables())}


def options() -> dict[str, argparse.Action]:
    """Return what the parser of ``vllm serve`` knows, by the flags without their dashes."""
    parser = FlexibleArgumentParser()
    serve = ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
    return {name[2:]: action for name, action in serve._option_string_actions.items() if name.startswith("--")}


def is_negative(name: str, known: dict[str, argparse.Action]) -> bool:
    """Return whether a flag is the negative form of a switch."""
    return name.startswith("no-") and isinstance(known[name], argparse.BooleanOptionalAction) and name[3:] in known


def described(name: str, known: dict[str, argparse.Action], found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return the type of a flag, its choices, its range, and how many values it takes."""
    action = known[name]
    entry: dict[str, Any] = {"type": type_of(action, has_negative=f"no-{name}" in known)}
    if action.choices is not None:
        entry["choices"] = [str(choice) for choice in action.choices if choice is not None and choice != "None"]
    if action.nargs not in (None, 0):
        entry["values"] = action.nargs
    if isinstance(action, argparse._AppendAction):
        entry["repeated"] = True
    if action.dest in found:
        entry["range"] = found[action.dest]
    return entry


def type_of(action: argparse.Action, *, has_negative: bool) -> str:
    """Return how a flag reads its value."""
    if isinstance(action, argparse.BooleanOptionalAction):
        return "boolean" if has_negative else "switch"
    if action.nargs == 0:
        return "switch"
    if isinstance(action.type, type(lambda: None)) and action.type.__name__ == "<lambda>":
        return "folded"
    return READERS.get(name_of(action.type), "text") if action.type else "text"


def name_of(reader: Any) -> str:
    """Return the name of the function that reads a value, without those that only handle its errors."""
    while inner := inspect.getclosurevars(reader).nonlocals.get("return_type") if inspect.isfunction(reader) else None:
        reader = inner
    return getattr(reader, "__name__", "")


def bounds() -> dict[str, dict[str, float]]:
    """Return the range of each field of vLLM's configuration, by its name; without fields that classes disagree on."""
    found: dict[str, list[dict[str, float]]] = {}
    for one in vars(vllm.config).values():
        if isinstance(one, type) and dataclasses.is_dataclass(one):
            for field in dataclasses.fields(one):
                found.setdefault(field.name, []).append(bound_of(field))
    return {name: ranges[0] for name, ranges in found.items() if ranges[0] and all(one == ranges[0] for one in ranges)}


def bound_of(field: dataclasses.Field[Any]) -> dict[str, float]:
    """Return the range that a field's declaration gives."""
    declared = [field.default] if isinstance(field.default, FieldInfo) else []
    declared += [one for one in typing.get_args(field.type) if isinstance(one, FieldInfo)]
    rules = [rule for info in declared for rule in info.metadata]
    return {word: getattr(rule, word) for rule in rules for word in BOUNDS if hasattr(rule, word)}


def variables() -> Iterator[str]:
    """Yield the names of variables that vLLM's sources read: those that they give as a text of its own."""
    seen: set[str] = set()
    for path in sorted(Path(vllm.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value):
                seen.add(node.value)
    yield from seen


if __name__ == "__main__":
    print(json.dumps(main()))
