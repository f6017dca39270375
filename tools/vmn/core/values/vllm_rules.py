"""What a version of vLLM would refuse, or not read, of ``engine.args`` and ``engine.env``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vmn.core.values.problem import ValuesProblem, shown
from vmn.core.values.schema import nearest
from vmn.core.values.vllm_combinations import refused_together
from vmn.core.values.vllm_interface import Flag, Interface
from vmn.core.values.vllm_shapes import MISSING, Mismatch
from vmn.core.values.vllm_values import wrong_values
from vmn.core.values.vllm_variables import unreadable_variables
from vmn.core.values.vllm_words import value_of_key, word_of
from vmn.core.values.yaml import dotted, merged, nested

RING = "vllm"
OWNED = {
    **{"model.dtype": "dtype", "model.quantization": "quantization", "model.revision": "revision"},
    **{"model.servedName": "served-model-name"},
}
"""Values of the chart that become a flag as they are, and that the chart's schema leaves to vLLM."""
PLUGINS = {"tool-call-parser": "tool-parser-plugin", "reasoning-parser": "reasoning-parser-plugin"}
"""Flags whose names a plugin adds to."""
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
    given, unclear = _given(args, interface, renamed)
    beside = {"enable-log-requests": (values.get("logging") or {}).get("requests"), **env}
    return [
        *unclear,
        *_of_flags(given, interface),
        *_given_twice(given),
        *_together(given, beside),
        *_of_owned(values, interface),
        *_of_variables(env, interface, renamed),
    ]


@dataclass(frozen=True)
class _Given:
    """An entry of ``engine.args``: its key, the flag that it stands for, the keys after a dot, and its value."""

    name: str
    flag: Flag
    keys: tuple[str, ...]
    value: object


def _given(args: Values, interface: Interface, renamed: Mapping[str, str]) -> tuple[list[_Given], list[ValuesProblem]]:
    """Return the entries that stand for a flag, and the problems of those that stand for none or for several."""
    given, unclear = [], []
    for name, value in args.items():
        base, *keys = name.split(".")
        meant = interface.named(base)
        if value is not None and len(meant) == 1:
            given.append(_Given(name, interface.flag(meant[0]), tuple(keys), value))
        elif value is not None:
            unclear.append(_unclear(name, value, meant, interface, renamed))
    return given, unclear


def _of_flags(given: Sequence[_Given], interface: Interface) -> Iterator[ValuesProblem]:
    """Yield what is wrong with each flag by itself."""
    present = {one.flag.name for one in given if one.value}
    for one in given:
        if not one.keys:
            plugin = PLUGINS.get(one.flag.name, "") in present
            flag = replace(one.flag, registered=()) if plugin else one.flag
            for found in wrong_values(one.value, flag, interface.shapes):
                yield _at(one.name, one.value, found)
    for name in dict.fromkeys(one.flag.name for one in given if one.keys):
        yield from _of_keys([one for one in given if one.keys and one.flag.name == name], interface)


def _unclear(
    name: str, value: object, meant: Sequence[str], interface: Interface, renamed: Mapping[str, str]
) -> ValuesProblem:
    """Return the problem of a name that stands for no flag, or for several."""
    if meant:
        reason = f"abbreviates several flags of vLLM {interface.version}: {', '.join(meant[:4])}"
        return _problem(name, value, reason, "Write one of them in full.")
    base = name.split(".")[0]
    reason = f"is not a flag of `vllm serve` in vLLM {interface.version}, which ends at the start"
    return _problem(name, value, reason, renamed.get(base) or _instead(name, interface))


def _instead(name: str, interface: Interface) -> str:
    base, dot, keys = name.partition(".")
    long = next((flag.name for flag in interface.flags.values() if base in flag.short), "")
    near = long or nearest(base, [*interface.flags, *(f"no-{name}" for name in interface.flags)])
    return (
        f"Write {near}{dot}{keys}, or remove it."
        if near
        else "Remove it; `vllm serve --help=all` in the image lists the flags."
    )


def _problem(name: str, value: object, reason: str, fix: str) -> ValuesProblem:
    return ValuesProblem(f"engine.args.{name}", shown(value), reason, fix, RING)


def _at(name: str, value: object, found: Mismatch) -> ValuesProblem:
    """Return a problem at its place: inside a map that is one by itself, or at the flag when its JSON is a text."""
    got = "" if found.reason == MISSING else shown(found.value)
    if isinstance(value, Mapping):
        return ValuesProblem(f"engine.args.{dotted([name, *found.path])}", got, found.reason, found.fix, RING)
    return ValuesProblem(f"engine.args.{name}", got, _inside(found.path, found), found.fix, RING)


def _inside(path: Sequence[str | int], found: Mismatch) -> str:
    """Return a reason with the place of what is wrong in the JSON of a flag."""
    if found.reason == MISSING:
        return f"leaves out {dotted(found.path)}, which is required"
    return f"has JSON in which {dotted(path)} {found.reason}" if path else found.reason


def _of_keys(given: Sequence[_Given], interface: Interface) -> Iterator[ValuesProblem]:
    """Yield what is wrong with keys of one flag that are given one by one; vLLM's parser makes one JSON of them."""
    flag = given[0].flag
    if flag.is_boolean or flag.choices or not (flag.is_json or flag.type == "text"):
        reason = "takes no keys" if flag.is_boolean else f"gives a key, but --{flag.name} takes {flag.wanted}"
        yield from (_problem(one.name, one.value, reason, f"Set {flag.name} itself.") for one in given)
        return
    for found in wrong_values(json.dumps(_joined(given)), flag, interface.shapes):
        owner = next((one for one in given if _is_inside(found.path, one)), given[0])
        got = owner.value if found.reason == MISSING else found.value
        yield _problem(owner.name, got, _inside(found.path[len(owner.keys) :], found), found.fix)


def _joined(given: Sequence[_Given]) -> dict[str, Any]:
    """Return the JSON that the parser makes of keys that are given one by one."""
    joined: dict[str, Any] = {}
    for one in given:
        joined = merged(joined, nested(_plain_keys(one), _value_of(one)))
    return joined


def _plain_keys(one: _Given) -> list[str]:
    first = one.keys[0].replace("-", "_") if one.flag.hyphens else one.keys[0]
    keys = [first, *one.keys[1:]]
    return [*keys[:-1], keys[-1].removesuffix("+")]


def _value_of(one: _Given) -> object:
    """Return what the parser puts under the last key: a list of texts for ``key+``."""
    if isinstance(one.value, Mapping):
        return one.value
    if not one.keys[-1].endswith("+"):
        return value_of_key(word_of(one.value))
    items = one.value if isinstance(one.value, list) else [one.value]
    return ",".join(map(word_of, items)).split(",")


def _is_inside(path: Sequence[str | int], one: _Given) -> bool:
    own = _plain_keys(one)
    shared = min(len(path), len(own))
    return list(path[:shared]) == own[:shared]


def _together(given: Sequence[_Given], beside: Values) -> Iterator[ValuesProblem]:
    whole = {one.flag.name: one.value for one in given if not one.keys}
    by_keys = {
        name: _joined([one for one in given if one.keys and one.flag.name == name])
        for name in {one.flag.name for one in given if one.keys}
    }
    for name, reason, fix in refused_together({**beside, **whole, **by_keys}):
        entry = next(one for one in given if one.flag.name == name)
        yield _problem(entry.name, entry.value, reason, fix)


def _given_twice(given: Sequence[_Given]) -> Iterator[ValuesProblem]:
    """Yield flags that are given in two ways: vLLM's parser then drops what it read first."""
    for flag in dict.fromkeys(_sets(one) for one in given):
        ours = [one for one in given if _sets(one) == flag]
        keys, whole = [one for one in ours if one.keys], [one for one in ours if not one.keys]
        if keys and whole:
            fix = f"Move its keys to {whole[0].name}, or all keys of that to entries of their own."
            reason = f"makes vLLM drop {whole[0].name}, of which it takes either single keys or the whole"
            yield _problem(keys[0].name, keys[0].value, reason, fix)
        if len(whole) > 1:
            reason = f"sets the same as {whole[0].name}, of which vLLM takes the last"
            yield _problem(whole[1].name, whole[1].value, reason, "Keep one of them.")


def _sets(one: _Given) -> str:
    """Return a name that all forms of a flag share."""
    name = one.flag.name.removeprefix("no-")
    return name.removeprefix("enable-").removeprefix("disable-") if one.flag.is_boolean else name


def _of_owned(values: Values, interface: Interface) -> Iterator[ValuesProblem]:
    for key, name in OWNED.items():
        section, field = key.split(".")
        value = (values.get(section) or {}).get(field)
        if value is not None and name in interface.flags:
            for found in wrong_values(value, interface.flags[name], interface.shapes):
                yield ValuesProblem(key, shown(value), found.reason, found.fix, RING)


def _of_variables(env: Values, interface: Interface, renamed: Mapping[str, str]) -> Iterator[ValuesProblem]:
    for name, value in env.items():
        if name.startswith("VLLM_") and name not in interface.variables:
            reason = f"is a variable that vLLM {interface.version} does not read"
            fix = renamed.get(name) or _instead_of_variable(name, interface)
            yield ValuesProblem(f"engine.env.{name}", shown(value), reason, fix, RING)
    yield from unreadable_variables({name: env[name] for name in env if name in interface.variables}, RING)


def _instead_of_variable(name: str, interface: Interface) -> str:
    flag = name.removeprefix("VLLM_").lower().replace("_", "-")
    if flag in interface.flags:
        return f"Set {flag} in engine.args instead."
    near: Sequence[str] = [known for known in [nearest(name, sorted(interface.variables))] if known]
    return f"Write {near[0]}, or remove it." if near else "Remove it."
