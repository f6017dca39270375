"""The table of signatures: how to recognize a known failure, why it happens, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from string import Template
from typing import Any

from vmn.core.doctor.evidence import TEXTS, Evidence, Observation, Source, named_groups

REQUIRED = frozenset({"id", "title", "precedence", "evidence", "cause", "fix", "source"})
KEYS = REQUIRED | {"unless", "serving", "section"}
ROLES = ("leader", "worker")


class Precedence(StrEnum):
    """How much a signature explains, the most first."""

    CAUSE = "cause"
    """It explains itself."""
    GENERIC = "generic"
    """Something failed, and another line says why; it is the verdict when no other signature matches."""
    FALLBACK = "fallback"
    """An error that no other signature knows; it is shown only when it is the verdict."""
    SYMPTOM = "symptom"
    """It follows from a failure elsewhere."""
    WRAPPER = "wrapper"
    """It only says that something failed; it is shown when nothing else is known about that pod."""
    NOTE = "note"
    """It means nothing, and is often mistaken for the cause."""


class SignatureError(ValueError):
    """An entry of the table is invalid; the message names it."""


@dataclass(frozen=True)
class TextRule:
    """A pattern, and where to search for it.

    Attributes:
        kinds: the texts to search, of TEXTS.
        pattern: what one line must match; its named groups become words of the title and the fix.
        role: role of the pod, None for both.
        reports: whether lines with which a program only reports what goes on are searched, too.
    """

    kinds: frozenset[str]
    pattern: re.Pattern[str]
    role: str | None
    reports: bool = False

    def find(self, source: Source | Observation) -> Evidence | None:
        """Return the line of a source that matches, or the observation whose quotation does."""
        if self.role and source.role != self.role:
            return None
        if isinstance(source, Source):
            return source.find(self.pattern, reports=self.reports) if source.kind in self.kinds else None
        found = self.pattern.search(source.quote) if source.quote and source.subject in self.kinds else None
        return source.evidence(named_groups(found)) if found else None


@dataclass(frozen=True)
class ObservationRule:
    """Kinds of observations, and what their fields must be.

    Attributes:
        kinds: any of these kinds.
        where: for each field, the pattern that its whole value must match.
    """

    kinds: frozenset[str]
    where: Mapping[str, re.Pattern[str]]

    def find(self, source: Source | Observation) -> Evidence | None:
        """Return the observation if it fits; its fields are words of the title and the fix."""
        if not isinstance(source, Observation) or source.kind not in self.kinds:
            return None
        fits = all(pattern.fullmatch(source.fields.get(name, "")) for name, pattern in self.where.items())
        return source.evidence(source.fields) if fits else None


@dataclass(frozen=True)
class Signature:
    """A known failure.

    Attributes:
        id: the name for programs; it never changes.
        title: what is wrong, in a few words.
        precedence: how much it explains.
        rules: any of them is evidence.
        unless: what a later line of the same log must not say, because the failure is then over.
        serving: whether to look for it in groups that serve, too.
        cause: why it happens.
        fix: what to do.
        source: where this is known from.
        section: section of docs/failures.md, None without one.
    """

    id: str
    title: str
    precedence: Precedence
    rules: Sequence[TextRule | ObservationRule]
    unless: re.Pattern[str] | None
    serving: bool
    cause: str
    fix: str
    source: str
    section: int | None

    def find(self, source: Source | Observation) -> Evidence | None:
        """Return the line of a source, or the observation, that shows this failure."""
        return next((item for rule in self.rules if (item := rule.find(source))), None)

    def is_over(self, found: Evidence, sources: Iterable[Source | Observation]) -> bool:
        """Return whether the log of the pod says that the failure is over, unless it has come again since."""
        if self.unless is None:
            return False
        logs = [item for item in sources if isinstance(item, Source) and item.kind == "log" and item.pod == found.pod]
        later = [at for source in logs if (at := source.last(self.unless)) is not None]
        patterns = [rule.pattern for rule in self.rules if isinstance(rule, TextRule) and "log" in rule.kinds]
        again = [at for source in logs for pattern in patterns if (at := source.last(pattern)) is not None]
        return bool(later) and max(later) >= max([found.at or 0.0, *again])


def filled(text: str, words: Mapping[str, str]) -> str:
    """Return a title, cause or fix with its ``$words`` filled in."""
    return Template(text).safe_substitute(words)


def signatures(entries: Iterable[Mapping[str, Any]]) -> list[Signature]:
    """Return the table.

    Raises:
        SignatureError: an entry is invalid.
    """
    found = [_signature(entry) for entry in entries]
    ids = [item.id for item in found]
    if twice := next((name for name in ids if ids.count(name) > 1), None):
        raise SignatureError(f"{twice}: two entries have this id.")
    return found


def _signature(entry: Mapping[str, Any]) -> Signature:
    name = entry.get("id") or "an entry without id"
    if unknown := set(entry) - KEYS:
        raise SignatureError(f"{name}: unknown keys {sorted(unknown)}. Use {sorted(KEYS)}.")
    if missing := REQUIRED - set(entry):
        raise SignatureError(f"{name}: missing keys {sorted(missing)}.")
    try:
        return Signature(
            id=name,
            title=entry["title"],
            precedence=Precedence(entry["precedence"]),
            rules=[_rule(rule, is_note=entry["precedence"] == Precedence.NOTE) for rule in entry["evidence"]],
            unless=_pattern(entry["unless"]) if "unless" in entry else None,
            serving=bool(entry.get("serving")),
            cause=" ".join(entry["cause"].split()),
            fix=" ".join(entry["fix"].split()),
            source=entry["source"],
            section=entry.get("section"),
        )
    except (re.error, ValueError) as error:
        raise SignatureError(f"{name}: {error}") from error


def _rule(rule: Mapping[str, Any], *, is_note: bool) -> TextRule | ObservationRule:
    if "observation" in rule:
        return _observation_rule(rule)
    if unknown := set(rule) - {"in", "text", "role", "level"}:
        raise ValueError(f"evidence has unknown keys {sorted(unknown)}; use in, text, role and level")
    if rule.get("level") not in (None, "any"):
        raise ValueError(f"unknown level {rule['level']}; use any")
    kinds = frozenset(_listed(rule["in"]))
    if elsewhere := kinds - TEXTS:
        raise ValueError(f"evidence can't be searched in {sorted(elsewhere)}; use {sorted(TEXTS)}")
    if rule.get("role") not in (None, *ROLES):
        raise ValueError(f"unknown role {rule['role']}; use {' or '.join(ROLES)}")
    return TextRule(kinds, _pattern(rule["text"]), rule.get("role"), reports=is_note or "level" in rule)


def _observation_rule(rule: Mapping[str, Any]) -> ObservationRule:
    if unknown := set(rule) - {"observation", "where"}:
        raise ValueError(f"evidence has unknown keys {sorted(unknown)}; use observation and where")
    where = {name: _pattern(str(text)) for name, text in (rule.get("where") or {}).items()}
    return ObservationRule(frozenset(_listed(rule["observation"])), where)


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.MULTILINE)
