"""Where evidence is looked for: every log, event and state as lines of text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

KINDS = frozenset({"log", "event", "state", "pending", "node", "group", "cluster"})
"""What a source is: log (also termination messages), event, state of a container or pod, why it is not scheduled, the
pod's node, its group, or the cluster."""
LONGEST = 400
"""Characters of a quoted line."""


@dataclass(frozen=True)
class Evidence:
    """A line that says something.

    Attributes:
        origin: where it is from, such as ``log of vllm-0-1``.
        line: what it says, shortened.
        at: when, in seconds since 1970; None when it has no time.
        pod: whose it is.
        words: the named groups of the pattern that found it.
    """

    origin: str
    line: str
    at: float | None = None
    pod: str | None = None
    words: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Source:
    """Lines of one origin.

    Attributes:
        kind: one of KINDS.
        origin: what it is, for people.
        text: the lines.
        times: of each line, in seconds since 1970; one for all, or none.
        pod: whose it is.
        role: of the pod, ``leader`` or ``worker``.
        group: index of the group, None for all.
        past: it tells of a pod that is gone.
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
        """Return the first line that a pattern is found in; its group ``line`` says which of several."""
        found = pattern.search(self.text)
        if found is None:
            return None
        place = found.start("line") if "line" in pattern.groupindex else found.start()
        index = bisect_right(self._starts, place) - 1
        end = self.text.find("\n", place)
        line = self.text[self._starts[index] : end if end >= 0 else len(self.text)].strip()
        words = {name: value for name, value in found.groupdict().items() if value is not None}
        return Evidence(self.origin, cut(line), self._time(index), self.pod, words)

    def _time(self, index: int) -> float | None:
        if not self.times:
            return None
        return self.times[min(index, len(self.times) - 1)]

    def until(self, end: float | None) -> Source:
        """Return the lines up to a moment; all of them when there is none, or they have no times."""
        if end is None or not self.times:
            return self
        lines = self.text.split("\n")
        times = list(self.times) if len(self.times) == len(lines) else [self.times[0]] * len(lines)
        kept = [index for index, at in enumerate(times) if at <= end]
        return replace(self, text="\n".join(lines[index] for index in kept), times=[times[index] for index in kept])

    def last(self, pattern: re.Pattern[str]) -> float | None:
        """Return when a pattern was last found, None when never or at an unknown time."""
        places = [found.start() for found in pattern.finditer(self.text)]
        return self._time(bisect_right(self._starts, places[-1]) - 1) if places else None


def cut(line: str, width: int = LONGEST) -> str:
    """Return a line of a bounded length."""
    return line if len(line) <= width else f"{line[: width - 1]}…"
