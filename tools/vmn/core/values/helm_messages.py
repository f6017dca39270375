"""What Helm prints when it refuses values: the chart's collected message, and its own errors."""

from __future__ import annotations

import re

from vmn.core.values.problem import ValuesProblem

_HEAD = re.compile(r"vllm-multinode: (\d+) problem\(s\) in the values:\n")
_ITEM = re.compile(r"^  - (?P<key>[^\s:]+): (?P<rest>.*)$")
_CHANGED = re.compile(r"^  - (?P<reason>CHANGED: (?P<key>\S+) is (?:now [^\s]+|gone)\.) (?P<fix>.*)$")
_VALUE = re.compile(r'^(?P<value>"(?:[^"\\]|\\.)*"|\[[^]]*\]|\{[^}]*\}|\S+) (?P<rest>.*)$')


def rule_problems(stderr: str) -> list[ValuesProblem]:
    """Return the problems of the chart's own message, none when there is no such message."""
    head = _HEAD.search(stderr)
    if not head:
        return []
    problems: list[ValuesProblem] = []
    for line in stderr[head.end() :].splitlines():
        changed = _CHANGED.match(line)
        if changed:
            problems.append(ValuesProblem(changed["key"], "", changed["reason"], changed["fix"], "rules"))
            continue
        item = _ITEM.match(line)
        if not item:
            if line.startswith("    ") and problems:  # a message goes on in the next line
                last = problems[-1]
                problems[-1] = ValuesProblem(
                    last.key, last.value, last.reason, f"{last.fix} {line.strip()}".strip(), "rules"
                )
                continue
            break
        value, reason, fix = split(item["rest"])
        problems.append(ValuesProblem(item["key"], value, reason, fix, "rules"))
    return problems


def split(text: str) -> tuple[str, str, str]:
    """Split ``<value> <why>. <fix>``; what can't be told apart stays in the reason."""
    found = _VALUE.match(text)
    value, rest = (found["value"], found["rest"]) if found else ("", text)
    reason, stop, fix = rest.partition(". ")
    return value, reason + ("." if stop else ""), fix


def render_problem(stderr: str) -> ValuesProblem:
    """Return any other failure of Helm's as one problem."""
    lines = [line.strip() for line in stderr.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("WARNING", "Use --debug", "level=", "walk.go"))]
    reason = " ".join(lines).removeprefix("Error: ") or "helm failed and said nothing"
    return ValuesProblem("", "", f"The chart can't be rendered with these values: {reason}", "", "render")
