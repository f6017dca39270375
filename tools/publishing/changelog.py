"""CHANGELOG.md, in the form of Keep a Changelog, and what Artifact Hub shows of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security")
"""Headings of Keep a Changelog, and kinds that Artifact Hub knows (artifacthub/hub, docs/helm_annotations.md)."""
UNRELEASED = "unreleased"
_HEADING = re.compile(r"## (\d+\.\d+\.\d+), (unreleased|\d{4}-\d\d-\d\d)")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_RELATIVE = re.compile(r"\]\((?!\w+:)")


class ChangelogError(Exception):
    """A line that the form does not allow, or a version that is missing."""


@dataclass(frozen=True)
class Change:
    """One entry.

    Attributes:
        kind: one of ``KINDS``.
        text: the entry as Markdown, in one line.
    """

    kind: str
    text: str

    @property
    def plain(self) -> str:
        """The entry without the marks of Markdown."""
        return _LINK.sub(r"\1", self.text).replace("**", "").replace("`", "")


@dataclass(frozen=True)
class Section:
    """The changes of one version.

    Attributes:
        version: without ``v``.
        date: in the form of ISO 8601, or ``unreleased``.
        changes: in the order of the file.
    """

    version: str
    date: str
    changes: Sequence[Change]


def sections(text: str) -> list[Section]:
    """Return the versions of a changelog, the newest first.

    Raises:
        ChangelogError: a heading is not in the form, or an entry stands under none.
    """
    found = []
    for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        match = _HEADING.fullmatch(heading.strip())
        if not match:
            raise ChangelogError(f"{heading!r} is not like '## 1.2.3, 2026-01-31' or '## 1.2.3, unreleased'")
        found.append(Section(match[1], match[2], list(_changes(body))))
    return found


def section_of(text: str, version: str) -> Section:
    """Return the changes of a version.

    Raises:
        ChangelogError: there are none, or the changelog is not in the form.
    """
    for section in sections(text):
        if section.version == version:
            return section
    raise ChangelogError(f"the changelog has no section for {version}")


def _changes(body: str) -> list[Change]:
    changes: list[Change] = []
    kind = ""
    for line in body.splitlines():
        if line.startswith("### "):
            kind = line[4:].strip().lower()
            if kind not in KINDS:
                raise ChangelogError(f"{line!r} is not one of {', '.join(map(str.capitalize, KINDS))}")
        elif line.startswith("- "):
            if not kind:
                raise ChangelogError(f"{line!r} stands under no heading")
            changes.append(Change(kind, line[2:].strip()))
        elif kind and line.strip():
            if not line.startswith("  ") or not changes:
                raise ChangelogError(f"{line!r} is neither an entry nor the rest of one")
            changes[-1] = Change(kind, f"{changes[-1].text} {line.strip()}")
    return changes


def annotation(section: Section) -> list[Mapping[str, str]]:
    """Return what the annotation ``artifacthub.io/changes`` holds."""
    return [{"kind": change.kind, "description": change.plain} for change in section.changes]


def notes(section: Section, base: str) -> str:
    """Return the changes of a version as Markdown, without its heading.

    Args:
        section: the version.
        base: address in front of links that are relative in the changelog.
    """
    lines: list[str] = []
    for kind in KINDS:
        entries = [f"- {change.text}" for change in section.changes if change.kind == kind]
        lines += [f"### {kind.capitalize()}", "", *entries, ""] if entries else []
    return _RELATIVE.sub(f"]({base}/", "\n".join(lines))
