"""What Helm prints when it refuses values: the chart's own list of problems, or another error."""

from __future__ import annotations

import re
from dataclasses import replace

from vmn.core.values.problem import ValuesProblem

_HEAD = re.compile(r"vllm-multinode: \d+ problem\S* in the values:\n")
_ITEM = re.compile(r"^  - (?P<key>[^\s:]+): (?P<why>.*?)(?: \(got (?P<got>.*?)\))?\.(?: (?P<fix>[A-Z].*))?$")
"""A line of the list: ``key: what is wrong (got VALUE). What to do.``"""


def rule_problems(stderr: str) -> list[ValuesProblem]:
    """Return the problems in the chart's own list, empty without such a list.

    Each problem is a line ``key: message``; an indented line continues the message above it.
    """
    head = _HEAD.search(stderr)
    if not head:
        return []
    problems: list[ValuesProblem] = []
    for line in stderr[head.end() :].splitlines():
        if item := _ITEM.match(line):
            problems.append(ValuesProblem(item["key"], item["got"] or "", item["why"], item["fix"] or "", "rules"))
        elif line.startswith("    ") and problems:
            problems[-1] = replace(problems[-1], fix=f"{problems[-1].fix} {line.strip()}".strip())
        else:
            break
    return problems


def render_problem(stderr: str) -> ValuesProblem:
    """Return any other failure of Helm as one problem."""
    lines = [line.strip() for line in stderr.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("WARNING", "Use --debug", "level=", "walk.go"))]
    reason = " ".join(lines).removeprefix("Error: ") or "helm failed without a message"
    return ValuesProblem("", "", f"the chart can't be rendered with these values: {reason}", "", "render")
