"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check ended, the worst last."""

    SKIP = "SKIP"
    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One result of a check.

    Attributes:
        check: its name, such as ``nodes``.
        status: how it ended.
        text: what was found.
        fix: what to do; empty when there is nothing to do.
    """

    check: str
    status: Status
    text: str
    fix: str = ""


def passed(check: str, text: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Status.PASS, text)


def warned(check: str, text: str, fix: str) -> Finding:
    """Return what may go wrong, or what could not be seen."""
    return Finding(check, Status.WARN, text, fix)


def failed(check: str, text: str, fix: str) -> Finding:
    """Return what will go wrong."""
    return Finding(check, Status.FAIL, text, fix)


def skipped(check: str, text: str) -> Finding:
    """Return that the release does not need what the check is about."""
    return Finding(check, Status.SKIP, text)
