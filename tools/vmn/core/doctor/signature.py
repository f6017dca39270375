"""The table of signatures: what a known failure looks like, why it happens, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from string import Template
from typing import Any

from vmn.core.doctor.evidence import KINDS, Evidence, Source

KEYS = frozenset({"id", "title", "rank", "evidence", "unless", "serving", "cause", "fix", "source", "section"})
RULE_KEYS = frozenset({"in", "text", "role"})
ROLES = ("leader", "worker")


class Precedence(StrEnum):
    """How much a signature explains, the most first."""

    CAUSE = "cause"
    """It explains itself."""
    GENERIC = "generic"
    """Something failed, and another line says why; it is the verdict when no other does."""
    FALLBACK = "fallback"
    """An error that no other signature knows; it is told only when it is the verdict."""
    SYMPTOM = "symptom"
    """It follows from a failure elsewhere."""
    WRAPPER = "wrapper"
    """It says that something failed, and no more; it is told when nothing else is of that pod."""
    NOTE = "note"
    """It means nothing, and is often taken for the cause."""


class SignatureError(ValueError):
    """The table has an entry that can't be read; the message names it."""


@dataclass(frozen=True)
class Rule:
    """Where to look, and for what.

    Attributes:
        kinds: of sources.
        pattern: that one line must have; its named groups are words for title and fix.
        role: of the pod, None for both.
    """

    kinds: frozenset[str]
    pattern: re.Pattern[str]
    role: str | None

    def find(self, source: Source) -> Evidence | None:
        """Return the line of a source that fits."""
        if source.kind not in self.kinds or (self.role and source.role != self.role):
            return None
        return source.find(self.pattern)


@dataclass(frozen=True)
class Signature:
    """A known failure.

    Attributes:
        id: for programs; it never changes.
        title: what is wrong, in a few words.
        rank: how much it explains.
        rules: any of them is evidence.
        unless: what a later line of the same log must not say: then it is over.
        serving: it is looked for in groups that serve, too.
        cause: why it happens.
        fix: what to do.
        source: where this is known from.
        section: of docs/failures.md, None without one.
    """

    id: str
    title: str
    rank: Precedence
    rules: Sequence[Rule]
    unless: re.Pattern[str] | None
    serving: bool
    cause: str
    fix: str
    source: str
    section: int | None

    def find(self, source: Source) -> Evidence | None:
        """Return the line of a source that shows this failure."""
        return next((item for rule in self.rules if (item := rule.find(source))), None)

    def is_over(self, found: Evidence, sources: Iterable[Source]) -> bool:
        """Return whether a later line of the pod's log says that it is over."""
        if self.unless is None:
            return False
        logs = (source for source in sources if source.kind == "log" and source.pod == found.pod)
        later = [at for source in logs if (at := source.last(self.unless)) is not None]
        return bool(later) and max(later) >= (found.at or 0.0)


def filled(text: str, words: Mapping[str, str]) -> str:
    """Return a title, cause or fix with its ``$words`` filled in."""
    return Template(text).safe_substitute(words)


def signatures(entries: Iterable[Mapping[str, Any]]) -> list[Signature]:
    """Return the table.

    Raises:
        SignatureError: an entry is wrong.
    """
    found = [_signature(entry) for entry in entries]
    ids = [item.id for item in found]
    if twice := next((name for name in ids if ids.count(name) > 1), None):
        raise SignatureError(f"{twice}: there are two of this id.")
    return found


def _signature(entry: Mapping[str, Any]) -> Signature:
    name = entry.get("id") or "an entry without id"
    if unknown := set(entry) - KEYS:
        raise SignatureError(f"{name}: unknown keys {sorted(unknown)}; there are {sorted(KEYS)}.")
    if missing := {"id", "title", "rank", "evidence", "cause", "fix", "source"} - set(entry):
        raise SignatureError(f"{name}: it lacks {sorted(missing)}.")
    try:
        return Signature(
            id=name,
            title=entry["title"],
            rank=Precedence(entry["rank"]),
            rules=[_rule(rule) for rule in entry["evidence"]],
            unless=_pattern(entry["unless"]) if "unless" in entry else None,
            serving=bool(entry.get("serving")),
            cause=" ".join(entry["cause"].split()),
            fix=" ".join(entry["fix"].split()),
            source=entry["source"],
            section=entry.get("section"),
        )
    except (re.error, ValueError) as error:
        raise SignatureError(f"{name}: {error}") from error


def _rule(rule: Mapping[str, Any]) -> Rule:
    kinds = rule["in"] if isinstance(rule["in"], list) else [rule["in"]]
    if unknown := (set(kinds) - KINDS) | (set(rule) - RULE_KEYS):
        raise ValueError(f"evidence has no {sorted(unknown)}; there are {sorted(KINDS)} and {sorted(RULE_KEYS)}")
    if rule.get("role") not in (None, *ROLES):
        raise ValueError(f"role {rule['role']} is none of {ROLES}")
    return Rule(frozenset(kinds), _pattern(rule["text"]), rule.get("role"))


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.MULTILINE)
