"""A group's last failure, as its pods report it from the logs that failures.sh keeps in the cache's volume."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vmn.core.cluster.release import Group, Release
from vmn.core.doctor.evidence import Source

KEPT_LOG = re.compile(r"\.rank-(?P<rank>\d+)\.(?P<time>\d{8}T\d{6}\.\d{3}Z)\.log(?: \(of [^()]*\))?$")
STAMP = "%Y%m%dT%H%M%S.%fZ"
"""Rank and time in the names of the logs, as failures.sh writes them."""
PEER_CLOSED = "a pod of this group has closed its "
"""What watch.sh logs in a pod that only saw another pod exit."""
SAME_FAILURE_SECONDS = 30.0
"""Seconds within which the pods of a group exit when one of them fails; a lost node takes probes.workerLossSeconds."""


@dataclass(frozen=True)
class PastFailure:
    """How vLLM in a pod exited.

    Attributes:
        pod: name of the pod.
        role: role of the pod.
        at: time of the exit, in seconds since 1970.
        line: what the log reports.
    """

    pod: str
    role: str
    at: float
    line: str

    @property
    def is_cause(self) -> bool:
        """Whether the pod failed by itself, and did not only see another pod exit."""
        return PEER_CLOSED not in self.line


def last_failure(release: Release, group: Group) -> Sequence[PastFailure]:
    """Return how the pods of a group exited when it last failed, the first one first; empty when no log reports it."""
    named = {
        line: match
        for log in release.logs_of(group.index)
        for line in log.past_failures
        if (match := KEPT_LOG.search(line))
    }
    found = [_failure(release, group, line, match) for line, match in named.items()]
    newest = max((one.at for one in found), default=0.0)
    recent = [one for one in found if one.at >= newest - SAME_FAILURE_SECONDS]
    return sorted(recent, key=lambda one: (one.at, one.pod))


def _failure(release: Release, group: Group, line: str, match: re.Match[str]) -> PastFailure:
    leader = f"{release.name}-{group.index}"
    pod = leader if match["rank"] == "0" else f"{leader}-{match['rank']}"
    at = datetime.strptime(match["time"], STAMP).replace(tzinfo=UTC).timestamp()
    return PastFailure(pod, release.role_of(pod), at, line)


def is_foreign(release: Release, failure: PastFailure) -> bool:
    """Return whether a failure is older than the release: another release of the same name left its log."""
    return failure.at < release.created_at


def past_sources(release: Release, group: Group) -> Iterator[Source]:
    """Yield the lines of a group's last failure, if it is one of this release."""
    for one in last_failure(release, group):
        if is_foreign(release, one):
            continue
        origin, times = f"the kept log of {one.pod}", (one.at,)
        yield Source("log", origin, one.line, times, one.pod, one.role, group.index, past=True)
