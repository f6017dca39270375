"""What happened to a group recently, and how far its start has come."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.events import Event
from vmn.core.cluster.release import EVENT_SECONDS, Group, Pod, Release
from vmn.core.cluster.snapshot import Object
from vmn.core.cluster.timestamps import clock, date_of, seconds
from vmn.core.doctor.events import deleted_first, explaining, recreations
from vmn.core.doctor.evidence import Evidence, cut
from vmn.core.doctor.finding import Finding, Severity
from vmn.core.doctor.groups import last_line
from vmn.core.doctor.past_failures import PastFailure, is_foreign, last_failure

MOST_FAILURES = 3
"""Pods that are named when several failed at once."""
MOST_LINES = 20
"""Lines of evidence of a note."""
WHY = "When one pod of a group fails or is deleted, LeaderWorkerSet recreates the whole group."


def history(release: Release, group: Group) -> Iterator[Finding]:
    """Yield notes on what happened to a group in the last hour."""
    yield from _recreated(release, group)
    yield from _deleted(release, group)
    yield from _restarted_in_place(release, group)
    failed = last_failure(release, group)
    for one in ([item for item in failed if item.is_cause] or failed)[:MOST_FAILURES]:
        yield _note("earlier-failure", group, one.pod, _past(release, one), [_kept(one)], one.at)
    for pod in group.pods:
        for status in pod.containers:
            if ended := (status.get("lastState") or {}).get("terminated"):
                yield _restarted(group, pod, status["name"], ended)


def _recreated(release: Release, group: Group) -> Iterator[Finding]:
    found = recreations(release, group.index)
    if not found:
        return
    count, last = sum(event.count for event in found), found[-1]
    often = "once" if count == 1 else f"{count} times"
    when = f", most recently at {clock(last.last)}" if last.last and count > 1 else ""
    when = f", at {clock(last.last)}" if last.last and count == 1 else when
    text = f"group {group.index} was recreated {often} in the last hour{when}: {last.message}"
    causes = [event for event in explaining(release, last) if event.message]
    why = f"; before that, {causes[0].name}: {causes[0].reason}: {causes[0].message}" if causes else ""
    lines = [_quoted(event) for event in (*causes, *reversed(found))]
    yield _note("recreated", group, None, f"{text}{why}", lines, last.last)


def _deleted(release: Release, group: Group) -> Iterator[Finding]:
    if first := deleted_first(release, group):
        when = f" at {clock(first.first)}" if first.first else ""
        text = f"{first.name} was deleted{when} (by a drain, a rollout, or a user): {first.message}"
        yield _note("deleted", group, first.name, text, [_quoted(first)], first.first)


def _restarted_in_place(release: Release, group: Group) -> Iterator[Finding]:
    """Yield how often the engines of a group have restarted in their pods, as the log of its leader says."""
    logs = [log for log in release.logs_of(group.index) if group.leader and log.pod == group.leader.name]
    found = [(at, why) for log in logs for at, why in log.restarts_in_place if at and release.now - at < EVENT_SECONDS]
    if not found:
        return
    at, why = found[-1]
    often = "once" if len(found) == 1 else f"{len(found)} times"
    text = f"group {group.index} restarted in place {often} in the last hour, most recently at {clock(at)}: {why}"
    lines = [Evidence(f"log of {logs[0].pod}", cut(why), at, logs[0].pod) for at, why in reversed(found)]
    yield _note("restarted-in-place", group, logs[0].pod, text, lines, at)


def _restarted(group: Group, pod: Pod, container: str, ended: Object) -> Finding:
    at = seconds(ended.get("finishedAt"))
    text = f"{pod.name}: {container} terminated with exit code {ended.get('exitCode')} ({ended.get('reason')})"
    message = cut((ended.get("message") or "no termination message").splitlines()[0])
    line = Evidence(f"termination message of {pod.name}", message, at, pod.name)
    return _note("restarted", group, pod.name, f"{text} at {clock(at)}" if at else text, [line], at)


def _past(release: Release, failure: PastFailure) -> str:
    """Return what happened, with its date and the release that it happened to."""
    if is_foreign(release, failure):
        begun = date_of(release.created_at)
        whose = f"an earlier release {release.name}, before this one was created at {begun}"
    else:
        whose = f"release {release.name}"
    return f"past failure of {whose}, at {date_of(failure.at)}: {failure.line}"


def _kept(failure: PastFailure) -> Evidence:
    return Evidence(f"kept log of {failure.pod}", failure.line, failure.at, failure.pod)


def _quoted(event: Event) -> Evidence:
    return Evidence(f"event of {event.kind} {event.name}", f"{event.reason}: {event.message}", event.last)


def _note(name: str, group: Group, pod: str | None, text: str, lines: list[Evidence], at: float | None) -> Finding:
    return Finding(
        id=name,
        group=group.index,
        pod=pod,
        severity=Severity.NOTE,
        text=text,
        why=WHY,
        fix="",
        source="observations of this cluster",
        section=8,
        evidence=lines[:MOST_LINES],
        at=at,
    )


def progress(release: Release, group: Group) -> str:
    """Return how far the start of a group has come, with the newest line of its leader."""
    leader = group.leader
    if leader is None or any(pod.deletion_deadline is not None for pod in (leader, *group.pods)):
        return f"group {group.index} is being deleted"
    ready = sum(pod.ready for pod in group.pods)
    age = release.now - min(pod.created_at or release.now for pod in group.pods)
    logs = [log.lines[-1][1] for log in release.logs if log.pod == leader.name and not log.previous and log.lines]
    at = last_line(release, leader)
    ago = f", {max(0.0, release.now - at):.0f} s ago" if at else ""
    newest = f'; the leader\'s newest line{ago}: "{cut(logs[-1], 120)}"' if logs else "; the leader has logged nothing"
    if unready := [pod for pod in group.pods if pod.unready_since is not None]:
        names = " and ".join(f"{pod.name} since {clock(pod.unready_since or release.now)}" for pod in unready)
        doing = f"has started, but is not ready: {names}; {ready}"
    else:
        doing = f"has been starting for {age:.0f} s, {ready}"
    return f"group {group.index} {doing} of {group.size} pods are ready{newest}"
