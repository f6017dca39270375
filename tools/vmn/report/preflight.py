"""The findings of ``vmn preflight``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from textwrap import wrap

from vmn.core.preflight.result import CheckResult, CheckStatus

WIDTH = 118
COLOURS = {CheckStatus.FAIL: "31", CheckStatus.WARN: "33", CheckStatus.PASS: "32", CheckStatus.SKIP: "2"}


def text(findings: Sequence[CheckResult], *, everything: bool = False, colour: bool = False) -> str:
    """Return the findings, the worst last, and a line that counts them.

    Args:
        findings: of all checks.
        everything: also what was skipped.
        colour: mark each status.
    """
    shown = [item for item in findings if everything or item.status is not CheckStatus.SKIP]
    order = list(CheckStatus)
    lines = [line for item in sorted(shown, key=lambda item: order.index(item.status)) for line in _lines(item, colour)]
    return "\n".join([*lines, "", summary(findings)])


def _lines(item: CheckResult, colour: bool) -> list[str]:
    status = f"\x1b[{COLOURS[item.status]}m{item.status}\x1b[0m" if colour else str(item.status)
    indent = " " * 26
    said = wrap(f"{item.check:<18}  {item.text}", WIDTH, subsequent_indent=indent[6:], break_long_words=False)
    fix = wrap(f"fix: {item.fix}", WIDTH - 26, break_long_words=False, break_on_hyphens=False) if item.fix else []
    return [f"{status}  {said[0]}", *(f"      {line}" for line in said[1:]), *(indent + line for line in fix)]


def summary(findings: Sequence[CheckResult]) -> str:
    """Return the last line."""
    counts = Counter(item.status for item in findings)
    words = {
        CheckStatus.FAIL: "failed",
        CheckStatus.WARN: "to look at",
        CheckStatus.PASS: "passed",
        CheckStatus.SKIP: "not needed",
    }
    return ", ".join(f"{counts[status]} {word}" for status, word in words.items())


def as_json(findings: Sequence[CheckResult]) -> str:
    """Return the findings for programs."""
    entries = [
        {"check": item.check, "status": str(item.status), "text": item.text, "fix": item.fix or None}
        for item in findings
    ]
    return json.dumps(
        {"findings": entries, "failed": any(item.status is CheckStatus.FAIL for item in findings)}, indent=2
    )
