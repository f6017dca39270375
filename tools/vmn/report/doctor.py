"""The findings of ``vmn doctor``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from vmn.core.cluster.timestamps import clock
from vmn.core.doctor.evidence import Evidence
from vmn.core.doctor.finding import Diagnosis, Finding, GroupHealth, Severity
from vmn.report.terminal import FAINT, RED, WIDTH, YELLOW, colored

COLORS = {Severity.CAUSE: RED, Severity.SYMPTOM: YELLOW, Severity.NOTE: FAINT}
INDENT = " " * 10


def text(diagnosis: Diagnosis, *, color: bool = False) -> str:
    """Return the state and the findings of each group, the verdict first, and a line for the whole release.

    Args:
        diagnosis: the diagnosis.
        color: whether to color the severities.
    """
    lines: list[str] = []
    for group in diagnosis.groups:
        lines += wrap(f"{group.line[0].upper()}{group.line[1:]}.", WIDTH)
        for item in group.findings:
            lines += [*_lines(item, color), ""]
        lines += [] if group.findings else [""]
    lines += [f"Not checked: you may not read {plural}. {rule}" for plural, rule in diagnosis.denied]
    return "\n".join([*lines, summary(diagnosis)])


def _lines(item: Finding, color: bool) -> Iterator[str]:
    mark = colored(f"{item.severity:<8}", COLORS[item.severity], color=color)
    said = wrap(f"{item.text[0]}{item.text[1:]}", WIDTH - 10, break_long_words=False, break_on_hyphens=False)
    yield f"{mark}  {said[0]}"
    yield from (INDENT + line for line in said[1:])
    yield from _part("seen", "; ".join(_quoted(line) for line in item.evidence[:1]))
    yield from (part for line in _same_moment(item.evidence) for part in _part("", f'"{line.line}"'))
    if item.severity is not Severity.CAUSE:
        return
    yield from _part("why", item.why)
    yield from _part("fix", item.fix)
    section = f"docs/failures.md, section {item.section}; " if item.section else ""
    yield from _part("more", f"{section}{item.source} [{item.id}]")


def _same_moment(lines: Sequence[Evidence]) -> list[Evidence]:
    """Return the lines that belong to the first one, such as the frames of its stack."""
    if not lines or not lines[0].origin.startswith("log of "):
        return []
    return [line for line in lines[1:] if (line.origin, line.at) == (lines[0].origin, lines[0].at)]


def _part(name: str, content: str) -> list[str]:
    if not content:
        return []
    return wrap(
        f"{name + ':' if name else '':<6}{content}",
        WIDTH,
        initial_indent=INDENT,
        subsequent_indent=INDENT + " " * 6,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _quoted(line: Evidence) -> str:
    when = f", {clock(line.at)}" if line.at else ""
    return f'{line.origin}{when}: "{line.line}"'


def summary(diagnosis: Diagnosis) -> str:
    """Return the last line."""
    where = f"release {diagnosis.release} in namespace {diagnosis.namespace}"
    serving = sum(group.state is GroupHealth.SERVING for group in diagnosis.groups)
    if diagnosis.state is GroupHealth.SERVING:
        return f"{where}: healthy, {_groups(serving)} serve{'s' * (serving == 1)}"
    if diagnosis.state is GroupHealth.STARTING:
        return f"{where}: starting, nothing wrong so far; {serving} of {_groups(len(diagnosis.groups))} serving"
    return f"{where}: {diagnosis.findings[0].id}; {serving} of {_groups(len(diagnosis.groups))} serving"


def _groups(count: int) -> str:
    return f"{count} group{'s' * (count != 1)}"


def as_json(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as JSON, the verdict first."""
    content = {
        "release": diagnosis.release,
        "namespace": diagnosis.namespace,
        "state": str(diagnosis.state),
        "failed": diagnosis.failed,
        "groups": [{"group": item.index, "state": str(item.state), "text": item.line} for item in diagnosis.groups],
        "findings": [_entry(item) for item in diagnosis.findings],
        "denied": [{"kind": plural, "fix": rule} for plural, rule in diagnosis.denied],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _entry(item: Finding) -> dict[str, Any]:
    return {
        "id": item.id,
        "group": item.group,
        "pod": item.pod,
        "severity": str(item.severity),
        "text": item.text,
        "why": item.why or None,
        "evidence": _evidence(item.evidence),
        "fix": item.fix or None,
        "source": item.source,
        "section": item.section,
        "at": item.at,
    }


def _evidence(lines: Sequence[Evidence]) -> list[dict[str, Any]]:
    return [{"from": line.origin, "line": line.line, "at": line.at, "pod": line.pod} for line in lines]
