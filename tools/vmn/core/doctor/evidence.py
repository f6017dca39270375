"""What findings rest on: lines of logs and events, and observations about objects of the cluster."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

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
    """

    origin: str
    line: str
    at: float | None = None
    pod: str | None = None
    words: Mapping[str, str] = field(default_factory=dict, compare=False)


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
    """

    kind: str
    origin: str
    text: str
    times: Sequence[float] = ()
    pod: str | None = None
    role: str | None = None
    group: int | None = None
    past: bool = False

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.text))]

    def find(self, pattern: re.Pattern[str]) -> Evidence | None:
        """Return the first line that matches; a group ``line`` of the pattern marks one of several."""
        found = pattern.search(self.text)
        if found is None:
            return None
        place = found.start("line") if "line" in pattern.groupindex else found.start()
        index = bisect_right(self._starts, place) - 1
        end = self.text.find("\n", place)
        line = self.text[self._starts[index] : end if end >= 0 else len(self.text)].strip()
        return Evidence(self.origin, cut(line), self._time(index), self.pod, named_groups(found))

    def _time(self, index: int) -> float | None:
        if not self.times:
            return None
        return self.times[min(index, len(self.times) - 1)]

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
        return self._time(bisect_right(self._starts, places[-1]) - 1) if places else None


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
