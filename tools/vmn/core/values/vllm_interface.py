"""The flags that a version of ``vllm serve`` takes, and the variables that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmn.core.values.vllm_shapes import Shapes

SHOWN = 8
"""Choices that a message lists."""
WANTED = {
    "integer": "an integer",
    "number": "a number",
    "size": "an integer, such as 8192 or 8k",
    "size-or-auto": "an integer, such as 8192 or 8k, or auto",
    "json": "JSON",
    "config": "JSON",
    "json-or-text": "JSON or a text",
    "lora": "NAME=PATH, or JSON with the keys name and path",
}


@dataclass(frozen=True)
class Flag:
    """A flag.

    Attributes:
        name: its name, without dashes.
        type: ``boolean`` (also has a negative form), ``switch`` (has none), ``integer``, ``number``, ``size``,
            ``size-or-auto``, ``json``, ``config`` (JSON with numbers such as 80m), ``json-or-text``, ``lora``,
            ``folded`` (a text in any case) or ``text``.
        choices: the words that the parser takes, empty when it takes others.
        registered: the words that a later step takes, unless a plugin adds one.
        values: how many words it takes: None for one, else argparse's ``?``, ``+`` or ``*``, or a number.
        repeated: whether it is given once for each item of a list.
        optional: whether an empty word and the word None stand for no value.
        shape: what the configuration class behind it takes, as JSON Schema.
        hyphens: whether keys of its JSON may have hyphens for underscores.
        short: its names with one dash.
    """

    name: str
    type: str
    choices: Sequence[str] = ()
    registered: Sequence[str] = ()
    values: str | int | None = None
    repeated: bool = False
    optional: bool = False
    shape: Mapping[str, Any] = field(default_factory=dict)
    hyphens: bool = False
    short: Sequence[str] = ()

    @property
    def is_boolean(self) -> bool:
        """Whether the flag takes no word."""
        return self.type in ("boolean", "switch")

    @property
    def takes_list(self) -> bool:
        """Whether the flag takes several words."""
        return self.repeated or self.values not in (None, "?", 1)

    @property
    def is_json(self) -> bool:
        """Whether the flag's word is JSON."""
        return self.type in ("json", "config") or (self.type == "json-or-text" and bool(self.shape))

    @property
    def wanted(self) -> str:
        """What the flag takes, in words."""
        if self.choices:
            more = ", …" if len(self.choices) > SHOWN else ""
            return f"one of {', '.join(self.choices[:SHOWN])}{more}"
        return WANTED.get(self.type, "a text")


@dataclass(frozen=True)
class Interface:
    """What one version of vLLM takes.

    Attributes:
        version: the version, such as ``0.32``.
        flags: the flags by name.
        shapes: the shapes of its configuration classes.
        variables: the variables that begin with ``VLLM_``.
    """

    version: str
    flags: Mapping[str, Flag]
    shapes: Shapes
    variables: frozenset[str]

    def named(self, name: str) -> Sequence[str]:
        """Return the flags that a name may stand for: the flag itself, or all that it abbreviates."""
        negative = [f"no-{flag.name}" for flag in self.flags.values() if flag.type == "boolean"]
        known = [*self.flags, *negative]
        return [name] if name in known else [flag for flag in known if flag.startswith(name)]

    def flag(self, name: str) -> Flag:
        """Return a flag by its name or by its negative form."""
        return self.flags.get(name) or Flag(name, "switch")


def interface_from(content: Mapping[str, Any]) -> Interface:
    """Return a version's table from its file."""
    flags = {name: _flag(name, entry) for name, entry in content["flags"].items()}
    version = ".".join(str(content["version"]).split(".")[:2])
    return Interface(version, flags, Shapes(content.get("shapes") or {}), frozenset(content["variables"]))


def _flag(name: str, entry: Mapping[str, Any]) -> Flag:
    return Flag(
        name,
        entry["type"],
        tuple(entry.get("choices") or ()),
        tuple(entry.get("registered") or ()),
        entry.get("values"),
        bool(entry.get("repeated")),
        bool(entry.get("optional")),
        entry.get("shape") or {},
        bool(entry.get("hyphens")),
        tuple(entry.get("short") or ()),
    )
