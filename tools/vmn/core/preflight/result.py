"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """How a check ended, the worst last."""

    SKIP = "SKIP"
    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class CheckResult:
    """One result of a check.

    Attributes:
        check: its name, such as ``nodes``.
        status: how it ended.
        text: what was found.
        fix: what to do; empty when there is nothing to do.
    """

    check: str
    status: CheckStatus
    text: str
    fix: str = ""


def passed(check: str, text: str) -> CheckResult:
    """Return that all is well."""
    return CheckResult(check, CheckStatus.PASS, text)


def warned(check: str, text: str, fix: str) -> CheckResult:
    """Return what may go wrong, or what could not be seen."""
    return CheckResult(check, CheckStatus.WARN, text, fix)


def failed(check: str, text: str, fix: str) -> CheckResult:
    """Return what will go wrong."""
    return CheckResult(check, CheckStatus.FAIL, text, fix)


def skipped(check: str, text: str) -> CheckResult:
    """Return that the release does not need what the check is about."""
    return CheckResult(check, CheckStatus.SKIP, text)


def is_failure(result: CheckResult) -> bool:
    """Return whether a check failed."""
    return result.status is CheckStatus.FAIL
