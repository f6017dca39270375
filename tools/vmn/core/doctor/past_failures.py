"""A group's last failure, as its pods tell of it from the logs that failures.sh keeps in the cache's volume."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vmn.core.cluster.release import Group, Release
from vmn.core.doctor.evidence import Source

KEPT_LOG = re.compile(r"\.rank-(?P<rank>\d+)\.(?P<time>\d{8}T\d{6}\.\d{3}Z)\.log$")
STAMP = "%Y%m%dT%H%M%S.%fZ"
"""Rank and time in the names of the logs, as failures.sh writes them."""
PEER = "a pod of this group has closed its connection"
"""Words of watch.sh in a pod that only saw another one end."""
SAME_FAILURE = 30.0
"""Seconds within which the pods of a group end when one of them fails; a lost node takes probes.workerLossSeconds."""


@dataclass(frozen=True)
class Failure:
    """How vLLM of a pod ended.

    Attributes:
        pod: its name.
        role: leader or worker.
        at: when, in seconds since 1970.
        line: what is told of it.
    """

    pod: str
    role: str
    at: float
    line: str

    @property
    def is_cause(self) -> bool:
        """Whether it is not only that another pod ended."""
        return PEER not in self.line


def last_failure(release: Release, group: Group) -> Sequence[Failure]:
    """Return how the pods of a group ended when it failed last, the first one first; nothing when nobody tells."""
    own = [log for log in release.logs if release.group_of(log.pod) == group.index]
    named = {line: match for log in own for line in log.past_failures if (match := KEPT_LOG.search(line))}
    found = [_failure(release, group, line, match) for line, match in named.items()]
    newest = max((one.at for one in found), default=0.0)
    return sorted((one for one in found if one.at >= newest - SAME_FAILURE), key=lambda one: (one.at, one.pod))


def _failure(release: Release, group: Group, line: str, match: re.Match[str]) -> Failure:
    leader = f"{release.name}-{group.index}"
    pod = leader if match["rank"] == "0" else f"{leader}-{match['rank']}"
    at = datetime.strptime(match["time"], STAMP).replace(tzinfo=UTC).timestamp()
    return Failure(pod, release.role_of(pod), at, line)


def earlier_sources(release: Release, group: Group) -> Iterator[Source]:
    """Yield the lines of a group's last failure; they are past."""
    for one in last_failure(release, group):
        yield Source(
            "log",
            f"the kept log of {one.pod}",
            one.line,
            (one.at,),
            pod=one.pod,
            role=one.role,
            group=group.index,
            past=True,
        )
