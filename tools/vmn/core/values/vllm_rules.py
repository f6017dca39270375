"""What a version of vLLM would refuse, or not read, of ``engine.args`` and ``engine.env``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vmn.core.values.problem import ValuesProblem, shown
from vmn.core.values.schema import nearest
from vmn.core.values.vllm_interface import Flag, Interface

RING = "vllm"
SIZE = re.compile(r"\d+(?:\.\d+)?[kmgt]|\d+[KMGT]|\d+|-1|auto", re.IGNORECASE)
"""An integer as vLLM reads some of them: 8k is 8000, 8K is 8192."""
COMPARISONS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
Values = Mapping[str, Any]


def vllm_problems(values: Values, interface: Interface, renamed: Mapping[str, str]) -> list[ValuesProblem]:
    """Return the flags that vLLM refuses, and the variables that it does not read.

    Args:
        values: values that include the chart's defaults.
        interface: the flags and variables of the version that the values install.
        renamed: what to do instead, for flags and variables of other versions.
    """
    engine = values.get("engine") or {}
    args, env = engine.get("args") or {}, engine.get("env") or {}
    found = [problem for name, value in args.items() if (problem := _of_flag(name, value, interface, renamed))]
    return [*found, *_of_variables(env, interface, renamed)]


def _of_flag(name: str, value: object, interface: Interface, renamed: Mapping[str, str]) -> ValuesProblem | None:
    base, _, keys = name.partition(".")
    if value is None:
        return None
    meant = interface.named(base)
    if not meant:
        reason = f"is not a flag of `vllm serve` in vLLM {interface.version}, which ends at the start"
        return _problem(name, value, reason, renamed.get(base) or _instead(base, interface))
    if len(meant) > 1:
        reason = f"abbreviates several flags of vLLM {interface.version}: {', '.join(meant[:4])}"
        return _problem(name, value, reason, "Write one of them in full.")
    flag = interface.flags.get(meant[0])
    if flag is None:  # the negative form of a boolean
        flag = Flag(meant[0], "switch")
    if keys:
        reason = f"gives a key, but --{flag.name} takes {flag.wanted}" if not flag.is_boolean else "takes no keys"
        return None if flag.takes_keys else _problem(name, value, reason, f"Set {flag.name} itself.")
    return next(_of_value(name, value, flag), None)


def _instead(name: str, interface: Interface) -> str:
    near = nearest(name, list(interface.flags))
    return (
        f"Write {near}, or remove it." if near else "Remove it; `vllm serve --help=all` in the image lists the flags."
    )


def _problem(name: str, value: object, reason: str, fix: str) -> ValuesProblem:
    return ValuesProblem(f"engine.args.{name}", shown(value), reason, fix, RING)


def _of_value(name: str, value: object, flag: Flag) -> Iterator[ValuesProblem]:
    """Yield what is wrong with the words that the chart makes of a value."""
    if isinstance(value, bool):
        yield from _of_boolean(name, value, flag)
    elif flag.is_boolean:
        fix = "Write true or false, without quotes." if flag.type == "boolean" else "Write true, or remove it."
        yield _problem(name, value, "takes no value", fix)
    elif isinstance(value, list):
        if len(value) > 1 and not flag.takes_list:
            yield _problem(name, value, f"takes one value, and not {len(value)}", f"Give it {flag.wanted}.")
        for item in value:
            yield from _of_word(name, item, flag)
    else:
        yield from _of_word(name, value, flag)


def _of_boolean(name: str, value: bool, flag: Flag) -> Iterator[ValuesProblem]:
    if not flag.is_boolean and not (value and flag.values == "?"):
        yield _problem(name, value, "needs a value", f"Give it {flag.wanted}.")
    elif flag.type == "switch" and not value:
        yield _problem(name, value, "has no negative form", "Use null, which leaves it out.")


def _of_word(name: str, value: object, flag: Flag) -> Iterator[ValuesProblem]:
    text = value.strip() if isinstance(value, str) else json.dumps(value)
    if text in ("", "None"):
        return
    if not _is_read(text, value, flag):
        yield _problem(name, value, f"is not {flag.wanted}", f"Give it {flag.wanted}.")
    elif flag.choices and not {text, _folded(text, flag)} & set(flag.choices):
        near = nearest(text, flag.choices)
        fix = f"Write {near}." if near else f"Use {flag.wanted}."
        yield _problem(name, value, f"is not one of the values that --{flag.name} takes", fix)
    elif wrong := _outside(text, flag):
        yield _problem(name, value, f"is out of range: it must be {wrong}", "Use a value in this range.")


def _folded(text: str, flag: Flag) -> str:
    return text.lower().replace("-", "_") if flag.type == "folded" else text


def _is_read(text: str, value: object, flag: Flag) -> bool:
    """Return whether vLLM can read a word as the flag's type."""
    match flag.type:
        case "integer":
            return bool(re.fullmatch(r"[+-]?\d+(?:\.0+)?", text))
        case "number":
            return _as_number(text) is not None
        case "size":
            return bool(SIZE.fullmatch(text))
        case "json":
            return not isinstance(value, str) or _is_json(text)
        case _:
            return True


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_json(text: str) -> bool:
    """Return whether a text is JSON; vLLM also takes numbers such as 80m in it."""
    try:
        json.loads(re.sub(r"\b(\d+(?:\.\d+)?)[kKmMgGtT]\b", r"\1", text))
    except ValueError:
        return False
    return True


def _outside(text: str, flag: Flag) -> str:
    """Return the range that a number is outside of, empty when it is inside."""
    number = _as_number(text)
    if number is None or not flag.bounds:
        return ""
    holds = {"gt": number.__gt__, "ge": number.__ge__, "lt": number.__lt__, "le": number.__le__}
    if all(holds[word](bound) for word, bound in flag.bounds.items()):
        return ""
    return " and ".join(f"{COMPARISONS[word]} {bound:g}" for word, bound in flag.bounds.items())


def _of_variables(env: Values, interface: Interface, renamed: Mapping[str, str]) -> Iterator[ValuesProblem]:
    for name, value in env.items():
        if name.startswith("VLLM_") and name not in interface.variables:
            reason = f"is a variable that vLLM {interface.version} does not read"
            fix = renamed.get(name) or _instead_of_variable(name, interface)
            yield ValuesProblem(f"engine.env.{name}", shown(value), reason, fix, RING)


def _instead_of_variable(name: str, interface: Interface) -> str:
    flag = name.removeprefix("VLLM_").lower().replace("_", "-")
    if flag in interface.flags:
        return f"Set {flag} in engine.args instead."
    near: Sequence[str] = [known for known in [nearest(name, sorted(interface.variables))] if known]
    return f"Write {near[0]}, or remove it." if near else "Remove it."
