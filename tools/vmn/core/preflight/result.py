"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """The outcomes of a check, the worst last."""

    SKIP = "SKIP"
    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class CheckResult:
    """The result of a check.

    Attributes:
        check: name of the check, such as ``nodes``.
        status: the outcome.
        text: what was found.
        fix: what to do, empty when nothing has to be done.
    """

    check: str
    status: CheckStatus
    text: str
    fix: str = ""


def passed(check: str, text: str) -> CheckResult:
    """Return that nothing is wrong."""
    return CheckResult(check, CheckStatus.PASS, text)


def warned(check: str, text: str, fix: str) -> CheckResult:
    """Return what may go wrong, or what could not be checked."""
    return CheckResult(check, CheckStatus.WARN, text, fix)


def failed(check: str, text: str, fix: str) -> CheckResult:
    """Return what will go wrong."""
    return CheckResult(check, CheckStatus.FAIL, text, fix)


def skipped(check: str, text: str) -> CheckResult:
    """Return that the release does not need the check."""
    return CheckResult(check, CheckStatus.SKIP, text)


def nodes_are(count: int, singular: str, plural: str) -> str:
    """Return a number of nodes with its verb, such as ``2 nodes have``."""
    return f"1 node {singular}" if count == 1 else f"{count} nodes {plural}"


def is_failure(result: CheckResult) -> bool:
    """Return whether a check failed."""
    return result.status is CheckStatus.FAIL
