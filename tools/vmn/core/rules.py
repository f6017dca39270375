"""What Helm prints when it refuses values: the chart's collected message, and its own errors."""

from __future__ import annotations

import re

from vmn.core.problem import Problem

_HEAD = re.compile(r"vllm-multinode: (\d+) problem\(s\) in the values:\n")
_ITEM = re.compile(r"^  - (?P<key>[^\s:]+): (?P<why>.*?)(?: \(got (?P<got>.*?)\))?\. (?P<fix>[A-Z].*)$", re.MULTILINE)
"""A line of the message: ``key: what is wrong (got VALUE). What to do.``"""


def rule_problems(stderr: str) -> list[Problem]:
    """Return the problems of the chart's own message, none when there is no such message."""
    head = _HEAD.search(stderr)
    items = _ITEM.finditer(stderr, head.end()) if head else ()
    return [Problem(item["key"], item["got"] or "", f"{item['why']}.", item["fix"], "rules") for item in items]


def render_problem(stderr: str) -> Problem:
    """Return any other failure of Helm's as one problem."""
    lines = [line.strip() for line in stderr.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("WARNING", "Use --debug", "level=", "walk.go"))]
    reason = " ".join(lines).removeprefix("Error: ") or "helm failed and said nothing"
    return Problem("", "", f"The chart can't be rendered with these values: {reason}", "", "render")
