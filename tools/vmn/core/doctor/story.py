"""What happened to a group lately, and how far a start is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from vmn.core.doctor.eventfacts import Event, before, deleted_first, recreations
from vmn.core.doctor.finding import Finding, Role
from vmn.core.doctor.groupfacts import last_line
from vmn.core.doctor.release import Group, Release
from vmn.core.doctor.source import Evidence, clock, cut, seconds

KEPT_LOG = re.compile(r"\.rank-(?P<rank>\d+)\.(?P<time>\d{8}T\d{6}Z)\.log$")
STAMP = "%Y%m%dT%H%M%SZ"
"""Rank and time in the names of the logs that failures.sh keeps."""
PEER = "a pod of this group has closed its connection"
SAME_FAILURE = 30.0
"""Seconds."""
MOST_FAILURES = 3


def history(release: Release, group: Group) -> Iterator[Finding]:
    """Yield notes on what happened to a group in the last hour."""
    found = recreations(release, group.index)
    if found:
        count, last = sum(event.count for event in found), found[-1]
        when = f", the last time at {clock(last.last)}" if last.last else ""
        text = f"group {group.index} was made anew {count} time(s) in the last hour{when}: {last.message}"
        earlier = [event for event in before(release, last) if event.message]
        why = f"; before it, {earlier[0].name}: {earlier[0].reason}: {earlier[0].message}" if earlier else ""
        lines = [_line(event) for event in (*earlier, *reversed(found))]
        yield _note("recreated", group, None, f"{text}{why}", lines, last.last)
    if first := deleted_first(release, group):
        when = f" at {clock(first.first)}" if first.first else ""
        text = f"{first.name} was deleted{when}, as by a drain, a rollout or somebody: {first.message}"
        yield _note("deleted", group, first.name, text, [_line(first)], first.first)
    for name, said in _last_failure(release, group):
        yield _note("earlier-failure", group, name, f"before: {said}", [Evidence(f"log of {name}", said)], None)
    for pod in group.pods:
        for status in pod.containers:
            ended = (status.get("lastState") or {}).get("terminated")
            if ended:
                at = seconds(ended.get("finishedAt"))
                text = (
                    f"{pod.name}: {status['name']} ended with exit code {ended.get('exitCode')} ({ended.get('reason')})"
                )
                message = cut((ended.get("message") or "no termination message").splitlines()[0])
                line = Evidence(f"termination message of {pod.name}", message, at, pod.name)
                yield _note("restarted", group, pod.name, f"{text} at {clock(at)}" if at else text, [line], at)


def _last_failure(release: Release, group: Group) -> Iterator[tuple[str, str]]:
    """Yield pods, and what is told of the group's last failure: of all pods but those that only saw another one end."""
    told = {line for log in release.logs if _is_of(release, log.pod, group) for line in log.earlier}
    named = [(match["time"], match["rank"], line) for line in told if (match := KEPT_LOG.search(line))]
    newest = max((at for at, _, _ in named), default="")
    last = sorted(item for item in named if _near(item[0], newest))
    failed = [item for item in last if PEER not in item[2]]
    leader = f"{release.name}-{group.index}"
    for _, rank, line in (failed or last)[:MOST_FAILURES]:
        yield leader if rank == "0" else f"{leader}-{rank}", line


def _is_of(release: Release, pod: str, group: Group) -> bool:
    return release.group_of(pod) == group.index


def _near(one: str, other: str) -> bool:
    """Return whether two times in names of logs belong to one failure: its pods end within some seconds."""
    apart = datetime.strptime(other, STAMP) - datetime.strptime(one, STAMP)
    return abs(apart.total_seconds()) <= SAME_FAILURE


def _line(event: Event) -> Evidence:
    return Evidence(f"event of {event.kind} {event.name}", f"{event.reason}: {event.message}", event.last)


def _note(name: str, group: Group, pod: str | None, text: str, lines: list[Evidence], at: float | None) -> Finding:
    why = "LeaderWorkerSet makes a whole group anew when one of its pods ends or goes."
    return Finding(name, group.index, pod, Role.NOTE, text, why, "", "facts of this cluster", 8, lines[:20], at)


def progress(release: Release, group: Group) -> str:
    """Return how far the start of a group is, with the newest line of its leader."""
    leader = group.leader
    if leader is None or leader.ends_since is not None or any(pod.ends_since is not None for pod in group.pods):
        return f"group {group.index} is being taken down"
    ready = sum(pod.ready for pod in group.pods)
    age = release.now - min(pod.created or release.now for pod in group.pods)
    said = [log.lines[-1][1] for log in release.logs if log.pod == leader.name and not log.previous and log.lines]
    at = last_line(release, leader)
    quiet = f", {release.now - at:.0f} s ago" if at else ""
    newest = (
        f'; the leader\'s newest line{quiet}: "{cut(said[-1], 120)}"' if said else "; the leader has said nothing yet"
    )
    return f"group {group.index} is starting for {age:.0f} s, {ready} of {group.size} pods ready{newest}"
