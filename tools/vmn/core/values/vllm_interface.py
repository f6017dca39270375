"""The flags that a version of ``vllm serve`` takes, and the variables that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SHOWN = 8
"""Choices that a message lists."""


@dataclass(frozen=True)
class Flag:
    """A flag.

    Attributes:
        name: its name, without dashes.
        type: ``boolean`` (also has a negative form), ``switch`` (has none), ``integer``, ``number``, ``size``,
            ``json``, ``folded`` (a text in any case) or ``text``.
        choices: the words that it takes, empty when it takes others.
        values: how many words it takes: None for one, else argparse's ``?``, ``+`` or ``*``, or a number.
        repeated: whether it is given once for each item of a list.
        bounds: its range, by pydantic's words: ``gt``, ``ge``, ``lt``, ``le``.
    """

    name: str
    type: str
    choices: Sequence[str] = ()
    values: str | int | None = None
    repeated: bool = False
    bounds: Mapping[str, float] | None = None

    @property
    def is_boolean(self) -> bool:
        """Whether the flag takes no word."""
        return self.type in ("boolean", "switch")

    @property
    def takes_list(self) -> bool:
        """Whether the flag takes several words."""
        return self.repeated or self.values not in (None, "?", 1)

    @property
    def takes_keys(self) -> bool:
        """Whether keys of its value can be given one by one, as ``--flag.key``."""
        return self.type in ("json", "text")

    @property
    def wanted(self) -> str:
        """What the flag takes, in words."""
        if self.choices:
            more = ", …" if len(self.choices) > SHOWN else ""
            return f"one of {', '.join(self.choices[:SHOWN])}{more}"
        words = {
            "integer": "an integer",
            "number": "a number",
            "size": "an integer, such as 8192 or 8k",
            "json": "JSON",
        }
        return words.get(self.type, "a text")


@dataclass(frozen=True)
class Interface:
    """What one version of vLLM takes.

    Attributes:
        version: the version, such as ``0.32``.
        flags: the flags by name.
        variables: the variables that begin with ``VLLM_``.
    """

    version: str
    flags: Mapping[str, Flag]
    variables: frozenset[str]

    def named(self, name: str) -> Sequence[str]:
        """Return the flags that a name may stand for: the flag itself, or all that it abbreviates."""
        negative = [f"no-{flag.name}" for flag in self.flags.values() if flag.type == "boolean"]
        known = [*self.flags, *negative]
        return [name] if name in known else [flag for flag in known if flag.startswith(name)]


def interface_from(content: Mapping[str, Any]) -> Interface:
    """Return a version's table from its file."""
    flags = {name: _flag(name, entry) for name, entry in content["flags"].items()}
    version = ".".join(str(content["version"]).split(".")[:2])
    return Interface(version, flags, frozenset(content["variables"]))


def _flag(name: str, entry: Mapping[str, Any]) -> Flag:
    return Flag(
        name,
        entry["type"],
        tuple(entry.get("choices") or ()),
        entry.get("values"),
        bool(entry.get("repeated")),
        entry.get("range"),
    )
