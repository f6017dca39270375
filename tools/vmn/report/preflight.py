"""The results of ``vmn preflight``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from textwrap import wrap

from vmn.core.preflight.result import CheckResult, CheckStatus, is_failure
from vmn.report.terminal import FAINT, GREEN, RED, WIDTH, YELLOW, colored

COLORS = {
    CheckStatus.FAIL: RED,
    CheckStatus.WARN: YELLOW,
    CheckStatus.PASS: GREEN,
    CheckStatus.SKIP: FAINT,
}


def text(findings: Sequence[CheckResult], *, everything: bool = False, color: bool = False) -> str:
    """Return the results, the worst last, and a line that counts them.

    Args:
        findings: the results of all checks.
        everything: whether to show skipped checks.
        color: whether to color each status.
    """
    shown = [item for item in findings if everything or item.status is not CheckStatus.SKIP]
    order = list(CheckStatus)
    lines = [line for item in sorted(shown, key=lambda item: order.index(item.status)) for line in _lines(item, color)]
    return "\n".join([*lines, "", summary(findings)])


def _lines(item: CheckResult, color: bool) -> list[str]:
    status = colored(str(item.status), COLORS[item.status], color=color)
    indent = " " * 26
    said = wrap(f"{item.check:<18}  {item.text}", WIDTH, subsequent_indent=indent[6:], break_long_words=False)
    fix = wrap(f"fix: {item.fix}", WIDTH - 26, break_long_words=False, break_on_hyphens=False) if item.fix else []
    return [f"{status}  {said[0]}", *(f"      {line}" for line in said[1:]), *(indent + line for line in fix)]


def summary(findings: Sequence[CheckResult]) -> str:
    """Return the last line."""
    counts = Counter(item.status for item in findings)
    words = {
        CheckStatus.FAIL: "failed",
        CheckStatus.WARN: "warned",
        CheckStatus.PASS: "passed",
        CheckStatus.SKIP: "skipped",
    }
    return ", ".join(f"{counts[status]} {word}" for status, word in words.items())


def as_json(findings: Sequence[CheckResult]) -> str:
    """Return the results as JSON."""
    entries = [
        {"check": item.check, "status": str(item.status), "text": item.text, "fix": item.fix or None}
        for item in findings
    ]
    return json.dumps({"findings": entries, "failed": any(map(is_failure, findings))}, indent=2)
