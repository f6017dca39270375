"""Values for each flag of a version, and for each key of its JSON: right ones and wrong ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vmn.core.values.vllm_interface import Interface
from vmn.core.values.vllm_shapes import Shape, choices_of
from vmn.core.values.vllm_words import words_of
from vmn.core.values.yaml import nested

VALUES: tuple[Any, ...] = (
    *(True, False, 7, 0, -1, 1.5, 0.5, "7", "7.0", "1e3", "2k", "2.5K", "2.5k", "auto", "many", "", "None", "a b"),
    *("-x", "{}", "[]", "null", '{"a": 1}', '{"a": 2k}', "a=b", [1, 2], ["a", "b"], ["a", "-b"], {"a": {"b": 1}}),
)
KEYS: tuple[Any, ...] = (
    *(True, False, 7, 0, -1, 1.5, 2.0, "7", "7.0", "many", "", "on", "None", None, [], [1, 2], ["a"], {}, {"a": 1}),
    {"a": "x"},
)
LEFT_OUT = ("config", "help")
"""Flags that read a file, or end the program."""
DEEPEST = 3
"""Keys inside keys that are tried."""


def cases(interface: Interface) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the name of each flag, and of each key, with the entries of ``engine.args`` to try."""
    for name, values in of_flags(interface):
        yield name, [{name: value} for value in values]
    for name, values in of_keys(interface):
        flag, *keys = name.split(".")
        yield name, [nested([flag, *keys], value) for value in values]


def words(args: Mapping[str, Any], interface: Interface) -> list[str]:
    """Return the words of a command line with one entry of ``engine.args``, as the chart writes them."""
    ((name, value),) = args.items()
    if value is False:
        return ["serve", "model", f"--no-{name}"]
    if isinstance(value, list) and interface.flags[name].repeated:
        return ["serve", "model", *(word for item in words_of(value) for word in (f"--{name}", item))]
    return ["serve", "model", f"--{name}", *words_of(value)]


def of_flags(interface: Interface) -> Iterator[tuple[str, list[Any]]]:
    """Yield each flag with the values to try."""
    for name, flag in interface.flags.items():
        if name not in LEFT_OUT:
            choices = [*flag.choices, *flag.registered, *_choices(flag.shape, interface)]
            yield name, [*VALUES, *_near(choices)]


def of_keys(interface: Interface) -> Iterator[tuple[str, list[Any]]]:
    """Yield each key of the flags that take JSON, as ``flag.key``, with the values to try."""
    for name, flag in interface.flags.items():
        for path, shape in _keys(flag.shape, interface):
            yield f"{name}.{path}", [*KEYS, *_near(_choices(shape, interface))]


def _near(choices: list[Any]) -> list[Any]:
    """Return a few choices, and what somebody may write for them."""
    texts = [choice for choice in choices if isinstance(choice, str)]
    longest = max(texts, key=len, default="")
    forms = [f"{longest}x", longest.upper(), longest.lower(), longest.replace("_", "-")] if longest else []
    return [*choices[:2], *choices[-1:], *forms]


def _resolved(shape: Shape, interface: Interface) -> Shape:
    return interface.shapes.named.get(shape["$ref"], {}) if "$ref" in shape else shape


def _parts(shape: Shape, interface: Interface) -> list[Shape]:
    shape = _resolved(shape, interface)
    return [_resolved(part, interface) for part in shape.get("anyOf", [shape])]


def _choices(shape: Shape, interface: Interface) -> list[Any]:
    return [choice for part in _parts(shape, interface) for choice in choices_of(part) if choice is not None]


def _keys(shape: Shape, interface: Interface, depth: int = 1) -> Iterator[tuple[str, Shape]]:
    for part in _parts(shape, interface):
        properties: Mapping[str, Shape] = part.get("properties") or {}
        for name, inner in properties.items():
            yield name, inner
            if depth < DEEPEST:
                yield from ((f"{name}.{path}", one) for path, one in _keys(inner, interface, depth + 1))
