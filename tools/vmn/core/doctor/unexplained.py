"""Errors that no signature knows: the most telling lines of a run that ended, with the stage and the process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmn.core.doctor.evidence import Observation, Source, cut
from vmn.core.doctor.levels import Level, level_of
from vmn.core.doctor.milestones import has_ended, stage_of
from vmn.core.doctor.signature import Precedence, Signature, TextRule

KIND = "unexplained-error"
CERTAIN = (Level.ERROR, Level.NCCL_WARNING)
PREFIX = re.compile(
    r"^(?:\((?P<process>[\w.-]+)[^)]*\) ?)?(?:[A-Z]+ \d\d-\d\d [\d:]+ (?:\[[^\]]*\] ?)?)?"
    r"(?:\[rank\d+\]:(?:\[?[EF]\d+ \S+ \S+\])? ?)?"
)
"""What stands before the words of a line: the process, the level with its time, and the rank."""
EXCEPTION = re.compile(r"\b[A-Za-z_][\w.]*(?:Error|Exception)\b(?:: \S.*|\s*$)")
NATIVE = re.compile(
    r"terminate called|^\s*what\(\):|Assertion .*failed|Check failed|\bF\d{4} \d\d:|\bFATAL\b|panicked at|\berror:"
)
"""How programs that are not written in Python say why they end."""
FRAME = re.compile(r'^\s*File "[^"]+", line \d+, in \S+')
LOGGED = re.compile(r"^(?:\([^)]*\) )?(?:ERROR|CRITICAL) |^vllm: |: error: ")
STACK = re.compile(r"  |Traceback \(most recent call last\)")
"""How the lines of a stack begin, all but the exception."""
PLACE = re.compile(r"\[[\w.]+:\d+\]")
"""Where in vLLM's code a line was logged; all lines of one stack have the same."""
MARKERS = re.compile(r"^\s*[\^~]+\s*$")
LAST_FRAMES = 2
"""Frames of a stack that are quoted."""
SHORT = 160
"""Characters of an error in a title."""
LOOK_BACK = 400
"""Lines before an error that may belong to its stack."""
SECONDARY = re.compile(
    r"Engine core init|EngineDeadError|WorkerProc (?:init|failed)|See (?:root cause|stack trace)|Executor failed|"
    r"EngineCore (?:encountered|failed)|AsyncLLM output_handler failed|vllm-multinode: |"
    r"vllm serve ended with .*; error: "
)
"""Words of errors that only say that something else failed."""


@dataclass(frozen=True)
class _Line:
    """A line of a log without what stands before its words."""

    index: int
    process: str
    text: str
    words: str
    level: Level

    @property
    def place(self) -> str:
        """Where it was logged, after its process; empty for a line that vLLM did not log."""
        found = PLACE.search(self.text, 0, len(self.text) - len(self.words))
        return f"{self.process} {found[0]}" if found else ""


def unexplained(source: Source, table: Sequence[Signature]) -> Iterator[Observation]:
    """Yield the first error of a run that ended, unless a signature knows it, and then the last frames of its stack."""
    if source.kind != "log" or source.past or not has_ended(source):
        return
    lines = _lines(source)
    error = _first_error(lines, _patterns(table))
    if error is None:
        return
    stack = _stack(lines, error)
    quoted = _quoted(error, stack)
    text = "\n".join(source.text.split("\n")[: error.index])
    fields = {
        "error": cut(quoted[0].words.strip(), SHORT),
        "stage": stage_of(text, "\n".join(line.words for line in stack)),
        "process": error.process or "vllm",
    }
    at = source.time_of(error.index)
    for line in quoted:
        words = line.words.strip()
        yield Observation(KIND, "state", source.origin, words, fields, "", at, source.pod, source.role, source.group)


def _lines(source: Source) -> list[_Line]:
    found = []
    for index, text in enumerate(source.alarming.split("\n")):
        if not text.strip():
            continue
        prefix = PREFIX.match(text)
        start, process = (prefix.end(), prefix["process"]) if prefix else (0, None)
        found.append(_Line(index, process or "", text, text[start:], level_of(text)))
    return found


def _patterns(table: Sequence[Signature]) -> list[re.Pattern[str]]:
    """Return the patterns for lines of logs, without those of signatures that explain nothing by themselves."""
    weak = (Precedence.NOTE, Precedence.WRAPPER)
    rules = (rule for item in table if item.precedence not in weak for rule in item.rules)
    return [rule.pattern for rule in rules if isinstance(rule, TextRule) and "log" in rule.kinds]


def _first_error(lines: Sequence[_Line], known: Sequence[re.Pattern[str]]) -> _Line | None:
    """Return the first error, None when a signature knows it or there is none.

    An exception tells more than what native code prints, and that more than any other line of level error. A line
    of the stack of an error that only says that something else failed tells nothing.
    """
    secondary = {line.index: line.place for line in lines if SECONDARY.search(line.words)}
    certain = [line for line in lines if line.level in CERTAIN and line.index not in secondary]
    retold = {place for place in secondary.values() if place}
    others = [line for line in certain if line.place not in retold and not STACK.match(line.words)]
    for telling, among in ((EXCEPTION, certain), (NATIVE, certain), (LOGGED, others)):
        first = next((line for line in among if telling.search(line.text)), None)
        if first:
            return None if any(pattern.search(first.text) for pattern in known) else first
    return None


def _stack(lines: Sequence[_Line], error: _Line) -> list[_Line]:
    """Return the lines of the same process before an error, back to where its stack begins."""
    before = [line for line in lines if line.index < error.index and line.process == error.process][-LOOK_BACK:]
    starts = [place for place, line in enumerate(before) if "Traceback (most recent call last)" in line.words]
    return before[starts[-1] + 1 :] if starts else before[-2 * LAST_FRAMES - 1 :]


def _quoted(error: _Line, stack: Sequence[_Line]) -> list[_Line]:
    """Return the error and the last frames; of an exception without a message, first the statement that raised it."""
    told = [line for line in stack if not MARKERS.match(line.words)]
    frames = [line for line in told if FRAME.match(line.words)][-LAST_FRAMES:][::-1]
    bare = EXCEPTION.search(error.words) and ": " not in error.words.strip()
    statement = told[-1:] if bare and told and not FRAME.match(told[-1].words) else []
    return [*statement, error, *frames]
