"""The flags of ``vllm serve``, from vLLM's own parser and its configuration classes."""

from __future__ import annotations

import argparse
import ast
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import vllm.config
from vllm.engine import arg_utils
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.utils.argparse_utils import FlexibleArgumentParser

from .registered import in_any_case, of_the_server, registered
from .shapes import ShapeReader

READERS = {
    "int": "integer",
    "float": "number",
    "human_readable_int": "size",
    "human_readable_int_or_auto": "size-or-auto",
    "loads": "json",
    "parse_dataclass": "config",
    "union_dict_and_str": "json-or-text",
}
"""Names of the functions that read a value, and the type of that value; any other takes a text. A ``folded`` text may
be in upper case and have hyphens for underscores."""
BUILT_FROM = {
    "speculative-config": "SpeculativeConfig",
    "watermark-config": "WatermarkConfig",
    "diffusion-config": "DiffusionConfig",
}
"""Flags whose JSON becomes this class after parsing (``EngineArgs.create_speculative_config`` and the like)."""
OF_THE_PLATFORM = {"mm-processor-device": ["cuda"]}
"""Choices that vLLM's CPU build leaves out (``EngineArgs.add_cli_args`` adds the platform's own device)."""
Options = Mapping[str, argparse.Action]


def flags(shapes: ShapeReader) -> dict[str, dict[str, Any]]:
    """Return what is known of each flag, by its name without dashes."""
    known, fields = options(), dict(field_of_flags())
    found = {
        name: described(name, known) | detailed(name, known[name], fields, shapes)
        for name in sorted(known)
        if not is_negative(name, known)
    }
    for name, names in registered().items():
        found[name]["registered"] = names
    for name, names in in_any_case().items():
        found[name]["shape"] = {"words": names}
    for name, shape in of_the_server().items():
        if name in found:
            found[name]["shape"] = shape
    return found


def options() -> dict[str, argparse.Action]:
    """Return what the parser of ``vllm serve`` knows, by the flags without their dashes."""
    parser = FlexibleArgumentParser()
    serve = ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
    return {name[2:]: action for name, action in serve._option_string_actions.items() if name.startswith("--")}


def field_of_flags() -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield each flag with the class and the field that it sets, as ``EngineArgs.add_cli_args`` pairs them."""
    tree = ast.parse(inspect.getsource(arg_utils))
    classes = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=variable)], value=ast.Call(func=ast.Name(id="get_kwargs"), args=[ast.Name(id=one)])
            ):
                classes[variable] = getattr(vllm.config, one, None) or getattr(arg_utils, one)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=[ast.Constant(value=str(flag)), *_]):
                for inner in (part for keyword in node.keywords if not keyword.arg for part in ast.walk(keyword.value)):
                    match inner:
                        case ast.Subscript(value=ast.Name(id=variable), slice=ast.Constant(value=str(field))):
                            if variable in classes:
                                yield flag.lstrip("-"), (classes[variable], field)


def is_negative(name: str, known: Options) -> bool:
    """Return whether a flag is the negative form of a switch."""
    return name.startswith("no-") and isinstance(known[name], argparse.BooleanOptionalAction) and name[3:] in known


def described(name: str, known: Options) -> dict[str, Any]:
    """Return what the parser itself knows of a flag."""
    action = known[name]
    reader, optional = reader_of(action)
    entry: dict[str, Any] = {"type": type_of(action, reader, has_negative=f"no-{name}" in known)}
    if action.choices is not None:
        choices = [str(choice) for choice in action.choices if choice is not None and choice != "None"]
        entry["choices"] = choices + OF_THE_PLATFORM.get(name, [])
    if action.nargs not in (None, 0):
        entry["values"] = action.nargs
    if optional:
        entry["optional"] = True
    if isinstance(action, argparse._AppendAction):
        entry["repeated"] = True
    short = [option.lstrip("-") for option in action.option_strings if not option.startswith("--")]
    if short:
        entry["short"] = short
    return entry


def type_of(action: argparse.Action, reader: Any, *, has_negative: bool) -> str:
    """Return how a flag reads its value."""
    if isinstance(action, argparse.BooleanOptionalAction):
        return "boolean" if has_negative else "switch"
    if action.nargs == 0:
        return "switch"
    if type(action).__name__ == "LoRAParserAction":
        return "lora"
    name = getattr(reader, "__name__", "")
    return "folded" if name == "<lambda>" and action.choices else READERS.get(name, "text")


def reader_of(action: argparse.Action) -> tuple[Any, bool]:
    """Return the function that reads a value, without those that only handle its errors; and whether "" is None."""
    reader, optional = action.type, False
    while inspect.isfunction(reader):
        inner = inspect.getclosurevars(reader).nonlocals.get("return_type")
        if inner is None:
            break
        optional = optional or reader.__name__ == "_optional_type"
        reader = inner
    return reader, optional


def detailed(name: str, action: argparse.Action, fields: Mapping[str, Any], shapes: ShapeReader) -> dict[str, Any]:
    """Return what the configuration class behind a flag asks of its value: choices, a range, or a shape."""
    reader, _ = reader_of(action)
    if getattr(reader, "__name__", "") == "parse_dataclass":
        return {"shape": shapes.of_class(reader.__defaults__[0])}
    if name in BUILT_FROM:
        return {"shape": shapes.of_class(getattr(vllm.config, BUILT_FROM[name])), "hyphens": True}
    names = [option.lstrip("-") for option in action.option_strings if option.lstrip("-") in fields]
    if not names or isinstance(action, argparse.BooleanOptionalAction):
        return {}
    shape = shapes.of_field(*fields[names[0]])
    if action.nargs in ("+", "*"):
        shape = next((one["items"] for one in shape.get("anyOf", [shape]) if "items" in one), {})
    return {"shape": shape} if shape and not plain(shape, action) else {}


def plain(shape: Mapping[str, Any], action: argparse.Action) -> bool:
    """Return whether a shape asks for nothing that the parser does not ask for."""
    if action.nargs in ("+", "*"):
        return False
    if action.choices is not None:
        return True
    reader = getattr(reader_of(action)[0], "__name__", "")
    wide = {"str": {"string"}, "": {"string"}, "union_dict_and_str": set()}.get(reader, {"integer", "number", "string"})
    return any(part.get("type") in wide and len(part) == 1 for part in shape.get("anyOf", [shape]))
