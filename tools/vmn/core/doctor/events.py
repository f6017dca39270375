"""Events of a release: those that still tell something, deletions, and recreations of groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vmn.core.cluster.events import Event
from vmn.core.cluster.release import Group, Pod, Release
from vmn.core.doctor.evidence import Source

BEFORE_START = frozenset(
    {
        "FailedScheduling",
        "NotTriggerScaleUp",
        "FailedMount",
        "FailedAttachVolume",
        "FailedMapVolume",
        "Failed",
        "InspectFailed",
        "ErrImageNeverPull",
        "BackOff",
        "FailedCreatePodSandBox",
        "NetworkNotReady",
        "FailedPrepareDynamicResources",
        "FailedBinding",
        "ProvisioningFailed",
        "Pulling",
        "Pulled",
    }
)
"""Reasons that are over once the container runs, and that tell nothing about a pod that no longer exists."""
EXPLAINING = frozenset(
    {"Killing", "Evicted", "TaintManagerEviction", "NodeNotReady", "Preempted", "OOMKilling", "NodeControllerEviction"}
)
"""Reasons of events that explain why a pod ended."""
NOT_CREATED = re.compile(r"create Pod (\S+) in StatefulSet")
RECREATED = "RecreateGroup"
STOPPED = "Stopping container "
"""Beginning of the kubelet's message when a pod was deleted; after a failed probe the message differs."""
EPISODE_SECONDS = 30.0
"""Seconds between events that belong to one end of a group."""
SAME_MOMENT_SECONDS = 3.0
"""LWS deletes a pod before it reports that, and times of events have no fractions."""
STILL_FAILING_SECONDS = 330.0
"""The kubelet repeats at least every 300 s that a probe still fails (client-go's spam filter)."""
EXPLAINED_SECONDS = 120.0
"""Seconds before a recreation in which an event may explain it."""


def taken_down_since(release: Release, group: Group) -> dict[str, float]:
    """Return since when the group of each pod is being deleted, by the pod's name; without pods of other groups.

    The kubelet's event about stopping a container also tells it for a pod that is already gone while others remain.
    A pod's own deletion time moves: it is set again when its containers have ended and a finalizer still holds it. In
    a group that was scaled away, LWS deletes the leader, and the workers once it is gone.
    """
    present = {pod.uid: pod for pod in group.pods}
    stops = _stops(release, group)
    scaled = release.last_scaled_at if release.is_scaled_away(group) else None
    found = {}
    for pod in group.pods:
        complete = _complete_since(group, pod)
        stopped = [
            event.first
            for event in stops
            if (present[event.uid].deleted_at if event.uid in present else (event.first or 0.0) > complete)
        ]
        if times := [at for at in (group.deleted_at, scaled, *stopped) if at is not None]:
            found[pod.name] = min(times)
    return found


def _complete_since(group: Group, pod: Pod) -> float:
    """Return since when a pod's group is complete; what was stopped before that belongs to the group's previous life.

    A worker outlives its leader for a moment, in which the new leader already exists.
    """
    own, leader = pod.created_at or 0.0, group.leader
    if leader and own < (leader.created_at or 0.0):
        return own
    return max(one.created_at or 0.0 for one in group.pods)


def _stops(release: Release, group: Group) -> list[Event]:
    """Return the kubelet's events about stopping a container of the group."""
    return [event for event in release.events_of(group.index) if event.message.startswith(STOPPED)]


def deleted_first(release: Release, group: Group) -> Event | None:
    """Return the event of the pod whose deletion began the end of the group's previous life.

    None without such an event in the last hour, or when LWS began the deletion because a pod failed.
    """
    episode = _last_episode([event for event in _stops(release, group) if event.first is not None])
    if not episode:
        return None
    begun = episode[0].first or 0.0
    recreated = [event for event in recreations(release, group.index) if event.last is not None]
    if any(begun - EPISODE_SECONDS <= (event.last or 0.0) <= begun + SAME_MOMENT_SECONDS for event in recreated):
        return None
    return episode[0]


def _last_episode(found: Sequence[Event]) -> list[Event]:
    """Return the last of some events, with those that precede it closely."""
    episode: list[Event] = []
    for event in sorted(found, key=lambda one: one.first or 0.0, reverse=True):
        if episode and (episode[-1].first or 0.0) - (event.first or 0.0) > EPISODE_SECONDS:
            break
        episode.append(event)
    return episode[::-1]


def event_sources(release: Release) -> Iterator[Source]:
    """Yield a line for each event that still tells something."""
    pods = {pod.name: pod for pod in release.pods}
    for event in release.events:
        pod = pods.get(event.name) if event.kind == "Pod" else None
        past = event.kind == "Pod" and (pod is None or (bool(event.uid) and event.uid != pod.uid))
        if event.reason == RECREATED or _is_over(release, event, pod, past, pods):
            continue
        group = release.group_of(event.name) if event.name != release.name else release.group_of(event.message)
        owner = event.name if event.kind == "Pod" else _named_pod(event.message, pods)
        yield Source(
            "event",
            f"event of {event.kind} {event.name}",
            f"{event.reason}: {event.message}".replace("\n", " "),
            (event.first,) if event.first else (),
            pod=owner,
            role=release.role_of(owner) if owner else None,
            group=group,
            past=past,
        )


def _named_pod(message: str, pods: dict[str, Pod]) -> str | None:
    if found := NOT_CREATED.match(message):
        return found[1]
    return next((word for word in message.split() if word in pods), None)


def _is_over(release: Release, event: Event, pod: Pod | None, past: bool, pods: dict[str, Pod]) -> bool:
    """Return whether what an event reports is over."""
    if event.kind == "StatefulSet" and event.reason == "FailedCreate":
        found = NOT_CREATED.match(event.message)
        return found is not None and found[1] in pods
    if past:
        return event.reason in BEFORE_START
    if pod is None:
        return False
    if event.reason in BEFORE_START:
        scheduled = event.reason == "FailedScheduling" and pod.node is not None
        since = pod.running_since
        return scheduled or (since is not None and (event.last or 0.0) <= since + 1)
    old = event.last is not None and event.last < release.now - STILL_FAILING_SECONDS
    return event.reason == "Unhealthy" and (pod.ready or old)


def explaining(release: Release, recreation: Event) -> list[Event]:
    """Return the events that explain a recreation: of the group's pods, in the two minutes before it."""
    end, group = recreation.first or release.now, release.group_of(recreation.message)
    found = [event for event in release.events_of(group) if event.kind == "Pod"] if group is not None else []
    found = [event for event in found if event.reason in EXPLAINING and not event.message.startswith("Stopping")]
    return [event for event in found if end - EXPLAINED_SECONDS <= (event.first or 0.0) <= end + 2]


def recreations(release: Release, group: int) -> Sequence[Event]:
    """Return the events that a group was recreated."""
    mine = (event for event in release.events if event.reason == RECREATED)
    return [event for event in mine if release.group_of(event.message) == group]
