"""What happened to a group lately, and how far a start is."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.events import Event
from vmn.core.cluster.release import Group, Release
from vmn.core.cluster.timestamps import clock, seconds
from vmn.core.doctor.events import before, deleted_first, recreations
from vmn.core.doctor.evidence import Evidence, cut
from vmn.core.doctor.finding import Finding, Severity
from vmn.core.doctor.groups import last_line
from vmn.core.doctor.past_failures import Failure, last_failure

MOST_FAILURES = 3
"""Pods that are named when several failed at once."""


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
    failed = last_failure(release, group)
    for one in ([item for item in failed if item.is_cause] or failed)[:MOST_FAILURES]:
        yield _note("earlier-failure", group, one.pod, f"before: {one.line}", [_told(one)], one.at)
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


def _told(failure: Failure) -> Evidence:
    return Evidence(f"kept log of {failure.pod}", failure.line, failure.at, failure.pod)


def _line(event: Event) -> Evidence:
    return Evidence(f"event of {event.kind} {event.name}", f"{event.reason}: {event.message}", event.last)


def _note(name: str, group: Group, pod: str | None, text: str, lines: list[Evidence], at: float | None) -> Finding:
    why = "LeaderWorkerSet makes a whole group anew when one of its pods ends or goes."
    return Finding(name, group.index, pod, Severity.NOTE, text, why, "", "facts of this cluster", 8, lines[:20], at)


def progress(release: Release, group: Group) -> str:
    """Return how far the start of a group is, with the newest line of its leader."""
    leader = group.leader
    if (
        leader is None
        or leader.deletion_deadline is not None
        or any(pod.deletion_deadline is not None for pod in group.pods)
    ):
        return f"group {group.index} is being taken down"
    ready = sum(pod.ready for pod in group.pods)
    age = release.now - min(pod.created_at or release.now for pod in group.pods)
    said = [log.lines[-1][1] for log in release.logs if log.pod == leader.name and not log.previous and log.lines]
    at = last_line(release, leader)
    quiet = f", {max(0.0, release.now - at):.0f} s ago" if at else ""
    newest = (
        f'; the leader\'s newest line{quiet}: "{cut(said[-1], 120)}"' if said else "; the leader has said nothing yet"
    )
    return f"group {group.index} is starting for {age:.0f} s, {ready} of {group.size} pods ready{newest}"
