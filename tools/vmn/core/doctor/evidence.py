"""What findings rest on: lines of logs and events, and observations about objects of the cluster."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from vmn.core.doctor.levels import Level, announces_retry, level_of, without_reports

SUBJECTS = frozenset({"state", "pending", "node", "group", "cluster"})
"""What an observation is about: the state of a pod or container, a pod that is not scheduled, the pod's node, its
group, or the cluster."""
TEXTS = frozenset({"log", "event", "state", "pending"})
"""Where a pattern is searched for: logs with termination messages, events, and the words in which Kubernetes itself
describes a state or why it does not schedule a pod."""
LONGEST_QUOTE = 400
"""Characters of a quoted line."""


@dataclass(frozen=True)
class Evidence:
    """A line that shows a failure.

    Attributes:
        origin: where the line is from, such as ``log of vllm-0-1``.
        line: the line, shortened.
        at: when it was written, in seconds since 1970; None when that is not known.
        pod: the pod that it is about.
        words: values for the ``$words`` of a signature.
        level: what the program that prints the line means by it.
        index: place of the line in its source, from 0.
    """

    origin: str
    line: str
    at: float | None = None
    pod: str | None = None
    words: Mapping[str, str] = field(default_factory=dict, compare=False)
    level: Level = field(default=Level.ERROR, compare=False)
    index: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Source:
    """The lines of a log, a termination message, or an event.

    Attributes:
        kind: ``log`` or ``event``.
        origin: what it is, for people.
        text: the lines.
        times: a time for each line, in seconds since 1970; or one for all, or none.
        pod: name of the pod that it is about.
        role: role of that pod.
        group: index of the group, None for all groups.
        past: whether it is about a pod that no longer exists.
        ended: whether the container that wrote it has ended.
    """

    kind: str
    origin: str
    text: str
    times: Sequence[float] = ()
    pod: str | None = None
    role: str | None = None
    group: int | None = None
    past: bool = False
    ended: bool = False

    @cached_property
    def alarming(self) -> str:
        """The text of a log with empty lines in place of those that only report what goes on."""
        return without_reports(self.text) if self.kind == "log" else self.text

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.text))]

    @cached_property
    def _alarming_starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.alarming))]

    def find(self, pattern: re.Pattern[str], *, reports: bool = True) -> Evidence | None:
        """Return the first line that matches, of a log rather an error than a warning.

        Args:
            pattern: what to search for; a group ``line`` of it marks one of several lines.
            reports: whether to search the lines of a log that only report what goes on, too.
        """
        first = None
        for found in pattern.finditer(self.text if reports else self.alarming):
            line = self._evidence(pattern, found, reports=reports)
            if line.level.is_certain:
                return line
            first = first or line
        return first

    def _evidence(self, pattern: re.Pattern[str], found: re.Match[str], *, reports: bool) -> Evidence:
        text, starts = (self.text, self._starts) if reports else (self.alarming, self._alarming_starts)
        place = found.start("line") if "line" in pattern.groupindex else found.start()
        index = bisect_right(starts, place) - 1
        end = text.find("\n", place)
        line = text[starts[index] : end if end >= 0 else len(text)].strip()
        level = self._level(line, text[end + 1 : end + LONGEST_QUOTE] if end >= 0 else "")
        return Evidence(self.origin, cut(line), self.time_of(index), self.pod, named_groups(found), level, index)

    def _level(self, line: str, after: str) -> Level:
        if self.kind != "log":
            return Level.ERROR
        level = level_of(line)
        return Level.RETRY if level is Level.ERROR and announces_retry(after) else level

    def time_of(self, index: int) -> float | None:
        """Return when a line was written, None when that is not known."""
        if not self.times:
            return None
        return self.times[min(index, len(self.times) - 1)]

    def reached(self, pattern: re.Pattern[str]) -> int:
        """Return the place of the last line that matches, -1 without one."""
        places = [found.start() for found in pattern.finditer(self.text)]
        return bisect_right(self._starts, places[-1]) - 1 if places else -1

    def until(self, end: float) -> Source:
        """Return the lines up to a moment; all lines when they have no times."""
        if not self.times:
            return self
        lines = self.text.split("\n")
        times = list(self.times) if len(self.times) == len(lines) else [self.times[0]] * len(lines)
        kept = [index for index, at in enumerate(times) if at <= end]
        return replace(self, text="\n".join(lines[index] for index in kept), times=[times[index] for index in kept])

    def last(self, pattern: re.Pattern[str]) -> float | None:
        """Return when a pattern last matched, None when it never did or at an unknown time."""
        places = [found.start() for found in pattern.finditer(self.text)]
        return self.time_of(bisect_right(self._starts, places[-1]) - 1) if places else None


@dataclass(frozen=True)
class Observation:
    """A fact about a pod, its node, its group, or the cluster.

    Attributes:
        kind: what is the case, such as ``node-gone``; signatures name it.
        subject: one of SUBJECTS.
        origin: what it is about, for people.
        text: the fact as a sentence, for people.
        fields: the fact as data, such as the ``reason`` and ``exit_code`` of a container.
        quote: what Kubernetes itself says, as ``Reason: message``.
        at: since when, in seconds since 1970; None when that is not known.
        pod: name of the pod that it is about.
        role: role of that pod.
        group: index of the group, None for all groups.
    """

    kind: str
    subject: str
    origin: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    quote: str = ""
    at: float | None = None
    pod: str | None = None
    role: str | None = None
    group: int | None = None
    past: bool = field(default=False, init=False)

    def evidence(self, words: Mapping[str, str]) -> Evidence:
        """Return the observation as evidence."""
        return Evidence(self.origin, cut(self.text.strip()), self.at, self.pod, words)


def named_groups(found: re.Match[str]) -> dict[str, str]:
    """Return the named groups of a match that took part in it."""
    return {name: value for name, value in found.groupdict().items() if value is not None}


def cut(line: str, width: int = LONGEST_QUOTE) -> str:
    """Return a line of a bounded length."""
    return line if len(line) <= width else f"{line[: width - 1]}…"
