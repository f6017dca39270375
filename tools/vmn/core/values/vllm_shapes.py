"""Values that vLLM's configuration classes refuse, by the shapes in vLLM's table.

A shape is JSON Schema without prose, plus ``words``, which are texts taken in any case (with ``hyphens`` also for
underscores). Values are read as pydantic reads them when it is not strict: "3" and 3.0 are integers, "on" is true.
``strict`` marks integers that vLLM itself reads, which takes neither.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmn.core.values.problem import shown
from vmn.core.values.schema import nearest

Shape = Mapping[str, Any]
Path = tuple[str | int, ...]
TRUE_OR_FALSE = ("0", "1", "f", "false", "n", "no", "off", "on", "t", "true", "y", "yes")
"""Texts that pydantic reads as booleans, in any case."""
BOUNDS = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most"}
KINDS = {
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "a map",
    "array": "a list",
    "null": "null",
}
MISSING = "is required here"
"""The reason of a key that is not there."""
SHOWN = 12
"""Choices that a message lists."""


@dataclass(frozen=True)
class Mismatch:
    """What is wrong at one place of a value.

    Attributes:
        path: keys and indexes that lead there.
        value: what is there.
        reason: what is wrong, without the value and the final period.
        fix: what to do, in whole sentences.
    """

    path: Path
    value: object
    reason: str
    fix: str


@dataclass(frozen=True)
class Shapes:
    """The shapes of one version's classes.

    Attributes:
        named: shape of each class, by its name.
    """

    named: Mapping[str, Shape]

    def mismatches(self, value: object, shape: Shape, path: Path = ()) -> Iterator[Mismatch]:
        """Yield everything in a value that a shape refuses."""
        shape = self._resolved(shape)
        if parts := shape.get("anyOf") or shape.get("oneOf"):
            yield from self._of_alternatives(value, parts, path)
        elif choices := choices_of(shape):
            yield from _of_choices(value, choices, shape, path)
        elif "type" in shape and not (is_read(value, shape["type"]) and _is_strict(value, shape)):
            wanted = KINDS[shape["type"]]
            yield Mismatch(path, value, f"must be {wanted}", f"Give it {self.wanted(shape)}.")
        else:
            yield from self._inside(value, shape, path)

    def wanted(self, shape: Shape) -> str:
        """Return what a shape takes, in words."""
        shape = self._resolved(shape)
        parts = shape.get("anyOf") or shape.get("oneOf") or [shape]
        choices = [choice for part in parts for choice in choices_of(self._resolved(part))]
        others = [part for part in map(self._resolved, parts) if not choices_of(part) and part.get("type") != "null"]
        names = [f"{KINDS[part['type']]}{_range(part)}" for part in others if part.get("type") in KINDS]
        if choices:
            names.insert(0, _one_of(choices))
        return " or ".join(dict.fromkeys(names)) or "another value"

    def _resolved(self, shape: Shape) -> Shape:
        return self.named.get(shape["$ref"], {}) if "$ref" in shape else shape

    def _of_alternatives(self, value: object, parts: Sequence[Shape], path: Path) -> Iterator[Mismatch]:
        found = [list(self.mismatches(value, part, path)) for part in parts]
        if not all(found):
            return
        deeper = [one for one in found if any(mismatch.path != path for mismatch in one)]
        if deeper:  # one alternative has the right kind: what is wrong in it
            yield from deeper[0]
            return
        out_of_range = [one[0] for one in found if one[0].reason.startswith("is out of range")]
        if out_of_range:
            yield out_of_range[0]
            return
        shape = {"anyOf": list(parts)}
        choices = [choice for part in parts for choice in choices_of(self._resolved(part))]
        near = _near(value, choices)
        fix = f"Write {near}." if near else f"Use {self.wanted(shape)}."
        yield Mismatch(path, value, f"must be {self.wanted(shape)}", fix)

    def _inside(self, value: object, shape: Shape, path: Path) -> Iterator[Mismatch]:
        if isinstance(value, Mapping):
            yield from self._of_keys(value, shape, path)
        elif isinstance(value, list):
            yield from _of_length(value, shape, path)
            for index, item in enumerate(value):
                yield from self.mismatches(item, shape.get("items") or {}, (*path, index))
        elif isinstance(value, str) and not re.search(shape.get("pattern", ""), value):
            yield Mismatch(path, value, f"does not match {shape['pattern']}", "Change it to this form.")
        elif isinstance(value, int | float | str) and (wrong := outside(value, shape)):
            yield Mismatch(path, value, f"is out of range: it must be {wrong}", "Use a value in this range.")

    def _of_keys(self, value: Mapping[str, object], shape: Shape, path: Path) -> Iterator[Mismatch]:
        known, others = shape.get("properties") or {}, shape.get("additionalProperties", True)
        names = choices_of(self._resolved(shape.get("propertyNames") or {}))
        if len(value) < shape.get("minProperties", 0):
            yield Mismatch(path, value, "must not be empty", "Remove it, or give it a key.")
        for name, inner in value.items():
            allowed = known or dict.fromkeys(map(str, names))
            if name in known:
                yield from self.mismatches(inner, known[name], (*path, name))
            elif others is False or (names and name not in names):
                near = nearest(name, list(allowed))
                fix = f"Write {near}." if near else f"The keys are {_listed(sorted(allowed))}."
                yield Mismatch((*path, name), inner, "is not a key that vLLM takes here", fix)
            elif isinstance(others, Mapping):
                yield from self.mismatches(inner, others, (*path, name))
        for name in shape.get("required") or ():
            if name not in value:
                yield Mismatch((*path, name), None, MISSING, "Set it.")


def choices_of(shape: Shape) -> list[Any]:
    """Return the values that a shape lists, empty when it lists none."""
    return [*shape.get("enum", []), *([shape["const"]] if "const" in shape else []), *shape.get("words", [])]


def _of_choices(value: object, choices: Sequence[Any], shape: Shape, path: Path) -> Iterator[Mismatch]:
    plain = int(value) if isinstance(value, bool) and not any(isinstance(one, bool) for one in choices) else value
    exact = any(type(plain) is type(choice) and plain == choice for choice in choices)
    if exact or (isinstance(value, str) and _is_word(value, shape)):
        return
    near = _near(value, choices)
    yield Mismatch(path, value, f"must be {_one_of(choices)}", f"Write {near}." if near else "Use one of them.")


def _is_word(text: str, shape: Shape) -> bool:
    text = text.replace("-", "_") if shape.get("hyphens") else text
    return text.lower() in {word.lower() for word in shape.get("words", [])}


def _near(value: object, choices: Sequence[Any]) -> str:
    return nearest(value, [choice for choice in choices if isinstance(choice, str)]) if isinstance(value, str) else ""


def _one_of(choices: Sequence[Any]) -> str:
    names = list(dict.fromkeys(shown(choice).strip('"') for choice in choices if choice is not None))
    return f"one of {_listed(names)}" if len(names) > 1 else "".join(names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def is_read(value: object, kind: str) -> bool:
    """Return whether pydantic reads a value as a kind of JSON Schema."""
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            number = number_of(value)
            return number is not None and math.isfinite(number) and number == math.floor(number)
        case "number":
            return number_of(value) is not None
        case "boolean":
            text = value.lower() if isinstance(value, str) else str(int(value)) if value in (0, 1) else ""
            return text in TRUE_OR_FALSE
        case "object":
            return isinstance(value, Mapping)
        case "array":
            return isinstance(value, list)
        case "null":
            return value is None
    return True


def _is_strict(value: object, shape: Shape) -> bool:
    """Return whether a value is of the very type, where a shape wants that."""
    return not shape.get("strict") or isinstance(value, int)


def number_of(value: object) -> float | None:
    """Return the number that pydantic reads, None for what it does not read as one."""
    if not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def outside(value: object, shape: Shape) -> str:
    """Return the range that a number is outside of, empty when it is inside or the shape has none."""
    number = number_of(value)
    bounds = {word: shape[word] for word in BOUNDS if word in shape}
    if number is None or not bounds:
        return ""
    holds = {
        "exclusiveMinimum": number.__gt__,
        "minimum": number.__ge__,
        "exclusiveMaximum": number.__lt__,
        "maximum": number.__le__,
    }
    return "" if all(holds[word](bound) for word, bound in bounds.items()) else _range(shape).strip()


def _range(shape: Shape) -> str:
    words = [f"{word} {shape[bound]:g}" for bound, word in BOUNDS.items() if bound in shape]
    return f" {' and '.join(words)}" if words else ""


def _of_length(value: Sequence[object], shape: Shape, path: Path) -> Iterator[Mismatch]:
    least, most = shape.get("minItems", 0), shape.get("maxItems", math.inf)
    if not least <= len(value) <= most:
        wanted = f"exactly {least}" if least == most else f"at least {least}" if len(value) < least else f"{most}"
        yield Mismatch(path, list(value), f"has {len(value)} items", f"Give it {wanted}.")
