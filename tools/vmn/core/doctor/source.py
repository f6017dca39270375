"""Where evidence is looked for: every log, event and state as lines of text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

KINDS = frozenset({"log", "event", "state", "pending", "node", "group", "cluster"})
"""What a source is: log (also termination messages), event, state of a container or pod, why it is not scheduled, the
pod's node, its group, or the cluster."""
STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z")
AT_WORK = re.compile(r'"[A-Z]+ \S+ HTTP/1\.\d" \d|: Avg prompt throughput: |Received request ')
"""What vLLM logs of requests, and every 10 s: most of a log, and never a reason."""
EARLIER = "vllm-multinode: an earlier failure: "
"""How the chart's entrypoint.sh begins what it tells of a run before this one, in a pod that is gone."""
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


def seconds(stamp: str | None) -> float | None:
    """Return a time of Kubernetes in seconds since 1970, None when it is none."""
    found = STAMP.match(stamp or "")
    if not found:
        return None
    whole = datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp()
    return whole + float(f"0.{found[2] or 0}")


def clock(at: float) -> str:
    """Return the time of day in UTC, as logs of Kubernetes have it."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def earliest(items: Iterable[float | None]) -> float:
    """Return the first of times; those that are not known come last."""
    return min((item for item in items if item is not None), default=float("inf"))


@dataclass(frozen=True)
class Log:
    """The log of a container, as the API gives it with timestamps.

    Attributes:
        pod: whose it is.
        container: in it.
        raw: lines that begin with a timestamp.
        previous: it is of the run before this one.
    """

    pod: str
    container: str
    raw: str
    previous: bool = False

    @cached_property
    def lines(self) -> list[tuple[float | None, str]]:
        """Times and texts; a line without a timestamp has none."""
        found: list[tuple[float | None, str]] = []
        for line in self.raw.splitlines():
            stamp, _, text = line.partition(" ")
            at = seconds(stamp)
            found.append((at, text) if at is not None else (None, line))
        return found

    @cached_property
    def telling(self) -> list[tuple[float | None, str]]:
        """The lines of this run, without those of a server that works."""
        return [(at, text) for at, text in self.lines if not AT_WORK.search(text) and not text.startswith(EARLIER)]

    @cached_property
    def earlier(self) -> list[str]:
        """What it tells of runs before this one, the latest first."""
        return [text.removeprefix(EARLIER) for _, text in self.lines if text.startswith(EARLIER)]

    @property
    def text(self) -> str:
        """The texts of the telling lines."""
        return "\n".join(text for _, text in self.telling)

    @property
    def times(self) -> list[float]:
        """A time for every telling line: its own, or that of the one before."""
        found: list[float] = []
        for at, _ in self.telling:
            found.append(at if at is not None else (found[-1] if found else float("inf")))
        return [] if found and found[0] == float("inf") else found

    @property
    def end(self) -> float | None:
        """When the newest line was written, None when that is not known."""
        return next((at for at, _ in reversed(self.lines) if at is not None), None)
