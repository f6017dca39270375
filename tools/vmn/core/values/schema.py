"""Ring 1: every mistake that the chart's schema finds in values, in words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError, best_match

from vmn.core.values.problem import ValuesProblem, shown
from vmn.core.values.yaml import dotted

NAMES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a map",
    "array": "a list",
    "null": "null",
}
ALLOWED_SHOWN = 40
"""Allowed keys or values that are listed at most."""


RENAMED = "a value of an earlier version, which a rule of the chart refuses"
"""``$comment`` of properties that exist only to let such a value reach that rule."""


def known_keys(node: Mapping[str, object]) -> list[str]:
    """Return the keys that a closed object allows, sorted, without those of earlier versions."""
    return sorted(key for key, inner in _properties(node).items() if not is_renamed(inner))


def is_renamed(node: object) -> bool:
    """Return whether a property exists only for a value of an earlier version."""
    return isinstance(node, Mapping) and node.get("$comment") == RENAMED


def schema_problems(values: Mapping[str, object], schema: Mapping[str, object]) -> list[ValuesProblem]:
    """Return everything in ``values`` that ``schema`` (draft-07) refuses, sorted by key."""
    errors = Draft7Validator(cast("dict[str, object]", schema)).iter_errors(values)
    found = [problem for error in errors for problem in _problems(error)]
    return sorted(dict.fromkeys(found), key=lambda problem: problem.key)


def _problems(error: ValidationError) -> Iterator[ValuesProblem]:
    match error.validator:
        case "additionalProperties":
            yield from _unknown_keys(error)
        case "required":
            yield _missing_key(error)
        case "anyOf" | "oneOf":
            yield from _alternatives(error)
        case _ if _about_a_name(error):
            yield _wrong_name(error)
        case _:
            yield _problem(error, _reason(error))


def _problem(error: ValidationError, reason: str) -> ValuesProblem:
    return ValuesProblem(dotted(error.absolute_path), shown(error.instance), reason, _fix(error), "schema")


def _missing_key(error: ValidationError) -> ValuesProblem:
    missing = re.match(r"'(.*)' is a required", error.message)
    name = missing[1] if missing else str(error.message)
    inner = _properties(error.schema).get(name, {})
    about = str(inner.get("description", "")).strip() if isinstance(inner, Mapping) else ""
    key = dotted([*error.absolute_path, name])
    if any(isinstance(part, int) for part in error.absolute_path):  # of an item of a list, which has no defaults
        return ValuesProblem(key, "", "is required", f"Set it: {about}" if about else "Set it.", "schema")
    fix = f"Remove the key to use the default, or set it: {about}".removesuffix(", or set it: ")
    return ValuesProblem(key, "null", "must not be null", fix, "schema")


def _about_a_name(error: ValidationError) -> bool:
    return "propertyNames" in list(error.relative_schema_path)[-2:]


def _wrong_name(error: ValidationError) -> ValuesProblem:
    path = [*error.absolute_path, str(error.instance)]
    return ValuesProblem(dotted(path), "", f"is not a valid key: it {_reason(error)}", _fix(error), "schema")


def _unknown_keys(error: ValidationError) -> Iterator[ValuesProblem]:
    allowed = known_keys(cast("Mapping[str, object]", error.schema))
    patterns = _keys(error.schema, "patternProperties")
    for name in cast("dict[str, object]", error.instance):
        if name in allowed or any(re.search(pattern, name) for pattern in patterns):
            continue
        where = dotted(error.absolute_path)
        near = nearest(name, allowed)
        fix = f"Did you mean {near}? " if near else ""
        owner = f"The keys of {where} are" if where else "The top-level keys are"
        fix += f"{owner} {_listed(allowed)}." if allowed else "Remove it."
        yield ValuesProblem(dotted([*error.absolute_path, name]), "", "unknown key", fix, "schema")


def _alternatives(error: ValidationError) -> Iterator[ValuesProblem]:
    """Yield what is wrong by the alternative that comes nearest, or all types when only the type is wrong."""
    context = list(error.context or [])
    here = len(error.path)
    if context and all(inner.validator in ("type", "const", "enum") and len(inner.path) == 0 for inner in context):
        wanted = [_wanted(inner) for inner in context]
        yield _problem(error, f"must be {' or '.join(dict.fromkeys(wanted))}")
        return
    fitting = [inner for inner in context if inner.validator != "type" or len(inner.path) > 0]
    branches = {inner.schema_path[0] for inner in fitting}
    if len(branches) == 1:  # only one alternative has the right type: all that is wrong in it
        for inner in fitting:
            yield from _problems(inner)
        return
    best = best_match(iter([error]))
    if best is None or best is error or here > len(best.absolute_path):
        several = error.validator == "oneOf" and not error.context
        yield _problem(error, "matches several forms at once" if several else "matches none of the allowed forms")
        return
    yield from _problems(best)


def _wanted(error: ValidationError) -> str:
    if error.validator == "const":
        return shown(error.validator_value)
    if error.validator == "enum":
        return _one_of(error.validator_value)
    return _types(error.validator_value)


def _types(wanted: object) -> str:
    names = wanted if isinstance(wanted, list) else [wanted]
    names = [name for name in names if name != "null"] or names  # null means unset, which does not correct a type
    return " or ".join(NAMES.get(str(name), str(name)) for name in names)


def _reason(error: ValidationError) -> str:
    """Return what is wrong with a value, as a sentence whose subject is the key."""
    wanted = error.validator_value
    match error.validator:
        case "type":
            return f"must be {_types(wanted)}, not {_type_of(error.instance)}"
        case "enum":
            return f"must be {_one_of(wanted)}"
        case "const":
            return f"must be {shown(wanted)}"
        case "pattern":
            return f"must be {_what(error)}"
        case "minimum":
            return f"must be at least {wanted}"
        case "maximum":
            return f"must be at most {wanted}"
        case "exclusiveMinimum":
            return f"must be greater than {wanted}"
        case "exclusiveMaximum":
            return f"must be less than {wanted}"
        case "minLength" | "minItems" | "minProperties" if wanted == 1:
            return "must not be empty"
        case "maxLength":
            return f"must have at most {wanted} characters"
        case "multipleOf":
            return f"must be a multiple of {wanted}"
        case "not":
            return "is not allowed here"
        case _:
            return f"does not match the schema: {error.message}"


def _type_of(value: object) -> str:
    given = Draft7Validator.TYPE_CHECKER
    kinds = ("boolean", "integer", "number", "string", "array", "object", "null")
    return next((NAMES.get(name, name) for name in kinds if given.is_type(value, name)), "something else")


def _what(error: ValidationError) -> str:
    """Return what a pattern stands for."""
    title = error.schema.get("title") if isinstance(error.schema, Mapping) else None
    return f"{title[:1].lower()}{title[1:]}" if isinstance(title, str) else f"text like {error.validator_value}"


def _fix(error: ValidationError) -> str:
    """Return what to write instead, from the schema alone."""
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    if error.validator == "enum" and isinstance(error.instance, str):
        near = nearest(error.instance, [str(choice) for choice in _as_list(error.validator_value)])
        return f"Did you mean {near}?" if near else "Use one of them."
    if error.validator == "pattern" and "examples" not in schema:
        return "Change it to this form."
    if error.validator == "type":
        bare = _unquoted(error.instance, error.validator_value)
        if bare:
            return f"Write {bare} without quotes."
        if "array" in _as_list(error.validator_value):
            return f"Write a list, such as [{shown(error.instance)}]."
        if "string" in _as_list(error.validator_value) and _is_scalar(error.instance):
            return f'Write it in quotes: "{_plain(error.instance)}".'
    return _example(schema)


def _example(schema: Mapping[str, object]) -> str:
    if schema.get("enum"):
        return f"Use {_one_of(schema['enum'])}."
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        return f"For example: {', '.join(shown(example) for example in examples)}."
    if isinstance(schema.get("minimum"), int | float) and isinstance(schema.get("maximum"), int | float):
        return f"Use a number from {schema['minimum']} to {schema['maximum']}."
    if isinstance(schema.get("minimum"), int | float):
        return f"Use a number of at least {schema['minimum']}."
    about = str(schema.get("description", "")).strip()
    return f"The value is described as: {about}" if about else ""


def _unquoted(given: object, wanted: object) -> str:
    """Return a text without its quotes if that has the wanted type, else nothing."""
    names = _as_list(wanted)
    if not isinstance(given, str):
        return ""
    text = given.strip()
    if ("integer" in names or "number" in names) and re.fullmatch(r"-?\d+", text):
        return text
    if "number" in names and re.fullmatch(r"-?\d+\.\d+", text):
        return text
    return text.lower() if "boolean" in names and text.lower() in ("true", "false") else ""


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool | int | float)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _one_of(choices: object) -> str:
    names = [shown(choice).strip('"') for choice in _as_list(choices) if choice is not None]
    return _listed(names) if len(names) == 1 else f"one of {_listed(names)}"


def _listed(names: Sequence[str]) -> str:
    cut = list(names[:ALLOWED_SHOWN])
    return ", ".join(cut) + (", …" if len(names) > len(cut) else "")


def _keys(schema: object, of: str) -> list[str]:
    inner = schema.get(of) if isinstance(schema, Mapping) else None
    return list(inner) if isinstance(inner, Mapping) else []


def _properties(schema: object) -> Mapping[str, object]:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def nearest(given: str, known: Sequence[str]) -> str:
    """Return the known name that a mistyped name probably stands for, else nothing."""
    by_case = {name.lower(): name for name in known}
    if given.lower() in by_case:
        return by_case[given.lower()]
    near = difflib.get_close_matches(given.lower(), list(by_case), n=1, cutoff=0.7)
    return by_case[near[0]] if near else ""
