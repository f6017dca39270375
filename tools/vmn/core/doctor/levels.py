"""What a program means by a line of its log: a report of what goes on, a warning, an announced retry, or an error."""

from __future__ import annotations

import re
from enum import IntEnum

_PROCESS = r"^(?:\([^)\n]*\) ?)*"
"""What vLLM and Ray put before a line: the name and the number of the process."""
_CLOCK = r"(?:\[?\d{4}-\d\d-\d\d[ T][\d:.,]+Z?\]?(?: -)?(?: [\w.]+ -)? ?)?"
"""The date and the time with which Python's logging begins a line."""
_JSON = r"^\{[^\n]*\"(?:level|levelname|severity)\": ?\"(?:%s)\""
REPORT = re.compile(
    "|".join(
        (
            rf"{_PROCESS}{_CLOCK}\[?(?:INFO|DEBUG|TRACE)\b[^\n]*",
            r"^[^\n]{0,120}?\b(?:NCCL|NVSHMEM|UCX) +(?:INFO|TRACE|CALL|DEBUG)\b[^\n]*",
            rf"{_PROCESS}(?:\[rank\d+\]: ?)?\[?I\d{{4}} [\d:.]+[^\n]*",
            _JSON % "INFO|DEBUG|info|debug" + r"[^\n]*",
            rf"{_PROCESS}(?:Message: ['\"]|Arguments: [(\[{{])[^\n]*",
        )
    ),
    re.MULTILINE,
)
"""A line of level INFO or below: vLLM and uvicorn; NCCL, NVSHMEM, and UCX; PyTorch's C++ code; JSON; and what Python
prints when it can't format a message that it should have logged (logging.Handler.handleError)."""
WARNING = re.compile(
    "|".join(
        (
            rf"{_PROCESS}{_CLOCK}\[?WARN(?:ING)?\b",
            rf"{_PROCESS}(?:\[rank\d+\]: ?)?\[?W\d{{4}} [\d:.]+",
            r"\b\w+Warning: ",
            r"^[^\n]{0,120}?\bNVSHMEM +WARN\b",
            _JSON % "WARNING|WARN|warning|warn",
        )
    )
)
NCCL_WARNING = re.compile(r"\bNCCL +WARN\b")
"""NCCL has no higher level: it warns of what makes it fail, and of what it then does in another way."""
RETRY = re.compile(r"\b[Rr]etrying\b|\bwill (?:be )?retr(?:y|ied)\b|\b[Tt]rying again\b")

NEXT_RETRY = re.compile(rf"{_PROCESS}(?:[A-Z]+ \d\d-\d\d [\d:]+ \[[^\]\n]*\] )?(?:Retrying|Will retry|Trying again)\b")


class Level(IntEnum):
    """What a program means by a line."""

    REPORT = 0
    """Something goes on as it should."""
    RETRY = 1
    """Something failed, and is tried again."""
    WARNING = 2
    """The program goes on in another way."""
    NCCL_WARNING = 3
    """NCCL fails, or goes on in another way."""
    ERROR = 4
    """Something failed; also lines that have no level, such as those of a traceback."""

    @property
    def is_certain(self) -> bool:
        """Whether such a line means that something failed even when nothing else says so."""
        return self is Level.ERROR


def level_of(line: str) -> Level:
    """Return what a program means by a line."""
    if REPORT.match(line):
        return Level.REPORT
    if RETRY.search(line):
        return Level.RETRY
    if NCCL_WARNING.search(line):
        return Level.NCCL_WARNING
    return Level.WARNING if WARNING.search(line) else Level.ERROR


def announces_retry(text: str) -> bool:
    """Return whether a text begins with a line that announces another attempt at what the line before it reports."""
    return bool(NEXT_RETRY.match(text))


def without_reports(text: str) -> str:
    """Return a text with empty lines in place of those of level INFO or below."""
    return REPORT.sub("", text)
