"""The log of a container."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from vmn.core.cluster.timestamps import seconds

AT_WORK = re.compile(r'"[A-Z]+ \S+ HTTP/1\.\d" \d| Avg prompt (?:throughput|tput): |Received request ')
"""What vLLM logs for each request, and every 10 s: most of a log, and never the reason of a failure."""
COLORS = re.compile(r"\x1b\[[0-9;]*m")
"""What vLLM's API server in Rust puts around the parts of a line, unless NO_COLOR is set."""
PAST_FAILURE = "vllm-multinode: an earlier failure: "
"""How the chart's entrypoint.sh begins a line about a previous run, in a pod that no longer exists."""
STARTS_IN_PLACE = re.compile(r"vllm-multinode: starts run \d+ in place$")
"""What the chart's restart.py logs before it starts the engine again: a new run in the same log."""
RESTARTED_IN_PLACE = re.compile(r"vllm-multinode: restarted in place within [^:]*: (?P<why>.*)")
"""What it logs when the group serves again."""
QUOTES_A_FAILURE = re.compile(r"vllm-multinode: (restarts|restarted|does not restart) in place\b")
"""How its lines begin that quote why an engine ended, perhaps that of another pod, or of an earlier run."""


@dataclass(frozen=True)
class ContainerLog:
    """The log of a container, as the API returns it with timestamps.

    Attributes:
        pod: name of the pod.
        container: name of the container.
        raw: lines that begin with a timestamp.
        previous: whether it is the log of the previous container.
    """

    pod: str
    container: str
    raw: str
    previous: bool = False

    @cached_property
    def lines(self) -> list[tuple[float | None, str]]:
        """Times and texts; a line without a timestamp has no time."""
        found: list[tuple[float | None, str]] = []
        for line in COLORS.sub("", self.raw).splitlines():
            stamp, _, text = line.partition(" ")
            at = seconds(stamp)
            found.append((at, text) if at is not None else (None, line))
        return found

    @cached_property
    def relevant(self) -> list[tuple[float | None, str]]:
        """The lines of this run, without those of a server at work, and without those about other runs."""
        starts = [index for index, (_, text) in enumerate(self.lines) if STARTS_IN_PLACE.match(text)]
        own = self.lines[starts[-1] :] if starts else self.lines
        return [
            (at, text)
            for at, text in own
            if not (AT_WORK.search(text) or text.startswith(PAST_FAILURE) or QUOTES_A_FAILURE.match(text))
        ]

    @cached_property
    def past_failures(self) -> list[str]:
        """What the log reports about previous runs, the latest first."""
        return [text.removeprefix(PAST_FAILURE) for _, text in self.lines if text.startswith(PAST_FAILURE)]

    @cached_property
    def restarts_in_place(self) -> list[tuple[float | None, str]]:
        """When the group served again after a restart in place, and why it restarted; the latest comes last."""
        return [(at, found["why"]) for at, text in self.lines if (found := RESTARTED_IN_PLACE.match(text))]

    @property
    def text(self) -> str:
        """The texts of the relevant lines."""
        return "\n".join(text for _, text in self.relevant)

    @property
    def times(self) -> list[float]:
        """A time for each relevant line: its own, or that of the line before."""
        found: list[float] = []
        for at, _ in self.relevant:
            found.append(at if at is not None else (found[-1] if found else float("inf")))
        return [] if found and found[0] == float("inf") else found

    @property
    def last_written_at(self) -> float | None:
        """When the newest line was written, None when that is not known."""
        return next((at for at, _ in reversed(self.lines) if at is not None), None)
