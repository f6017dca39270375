"""Events of a release, as lines to match: those that are still true, and those of pods that are gone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vmn.core.cluster.events import Event
from vmn.core.cluster.release import Group, Pod, Release
from vmn.core.doctor.evidence import Source

BEFORE_START = frozenset(
    {
        *("FailedScheduling", "NotTriggerScaleUp", "FailedMount", "FailedAttachVolume", "FailedMapVolume", "Failed"),
        *("InspectFailed", "ErrImageNeverPull", "BackOff", "FailedCreatePodSandBox", "NetworkNotReady"),
        *("FailedPrepareDynamicResources", "FailedBinding", "ProvisioningFailed", "Pulling", "Pulled"),
    }
)
"""Reasons that are over once the container runs, and say nothing of a pod that is gone."""
TELLING = frozenset(
    {"Killing", "Evicted", "TaintManagerEviction", "NodeNotReady", "Preempted", "OOMKilling", "NodeControllerEviction"}
)
"""Reasons of events that say why a pod ended."""
NOT_MADE = re.compile(r"create Pod (\S+) in StatefulSet")
RECREATED = "RecreateGroup"
STOPPED = "Stopping container "
"""Beginning of kubelet's message when a pod was deleted; for a probe that failed it has other words."""

EPISODE = 30.0
"""Seconds between what belongs to one end of a group."""
SAME_MOMENT = 3.0
"""Seconds: LeaderWorkerSet deletes a pod, and then says so; times of events have no fractions."""

STILL = 330.0
"""Seconds: kubelet says again at least every 300 that a probe still fails (client-go's spam filter)."""


def taken_down_since(release: Release, group: Group) -> dict[str, float]:
    """Return when somebody began to take the group of each pod down: name -> time, without pods where nobody did.

    Kubelet says it by an event when it stops a container, also of a pod that is gone by now while the others are still
    there. A pod's own time moves: it is set again when its containers have ended, and a finalizer then still holds it.
    Of a group that was scaled away, the leader is deleted, and the workers when it is gone.
    """
    there = {pod.uid: pod for pod in group.pods}
    stops = _stops(release, group)
    found = {}
    scaled = release.last_scaled_at if release.is_scaled_away(group) else None
    for pod in group.pods:
        made = _life(group, pod)
        stopped = [
            event.first
            for event in stops
            if (there[event.uid].deleted_at if event.uid in there else (event.first or 0.0) > made)
        ]
        if times := [at for at in (group.deleted_at, scaled, *stopped) if at is not None]:
            found[pod.name] = min(times)
    return found


def _life(group: Group, pod: Pod) -> float:
    """Return since when a pod's group is complete; what was stopped earlier was stopped in the life before.

    A worker outlives its leader for a moment, in which there is a new leader already.
    """
    own, leader = pod.created_at or 0.0, group.leader
    if leader and own < (leader.created_at or 0.0):
        return own
    return max(one.created_at or 0.0 for one in group.pods)


def _stops(release: Release, group: Group) -> list[Event]:
    """Return kubelet's events that it stops a container of a group's pod."""
    mine = (event for event in release.events if release.group_of(event.name) == group.index)
    return [event for event in mine if event.message.startswith(STOPPED)]


def deleted_first(release: Release, group: Group) -> Event | None:
    """Return the event of the pod with whose deletion the group's last life began to end.

    None when there is none in the last hour, or when LeaderWorkerSet had begun it: then a pod had failed.
    """
    episode = _last_episode([event for event in _stops(release, group) if event.first is not None])
    if not episode:
        return None
    begun = episode[0].first or 0.0
    made_anew = [event for event in recreations(release, group.index) if event.last is not None]
    if any(begun - EPISODE <= (event.last or 0.0) <= begun + SAME_MOMENT for event in made_anew):
        return None
    return episode[0]


def _last_episode(found: Sequence[Event]) -> list[Event]:
    """Return the last of some events that follow each other closely."""
    episode: list[Event] = []
    for event in sorted(found, key=lambda one: one.first or 0.0, reverse=True):
        if episode and (episode[-1].first or 0.0) - (event.first or 0.0) > EPISODE:
            break
        episode.append(event)
    return episode[::-1]


def event_sources(release: Release) -> Iterator[Source]:
    """Yield a line for each event that still says something."""
    pods = {pod.name: pod for pod in release.pods}
    for event in release.events:
        pod = pods.get(event.name) if event.kind == "Pod" else None
        past = event.kind == "Pod" and (pod is None or (bool(event.uid) and event.uid != pod.uid))
        if event.reason == RECREATED or _is_over(release, event, pod, past, pods):
            continue
        group = release.group_of(event.name) if event.name != release.name else release.group_of(event.message)
        owner = event.name if event.kind == "Pod" else _named(event.message, pods)
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


def _named(message: str, pods: dict[str, Pod]) -> str | None:
    if wanted := NOT_MADE.match(message):
        return wanted[1]
    return next((word for word in message.split() if word in pods), None)


def _is_over(release: Release, event: Event, pod: Pod | None, past: bool, pods: dict[str, Pod]) -> bool:
    """Return whether what an event tells is not so any more."""
    if event.kind == "StatefulSet" and event.reason == "FailedCreate":
        wanted = NOT_MADE.match(event.message)
        return wanted is not None and wanted[1] in pods
    if past:
        return event.reason in BEFORE_START
    if pod is None:
        return False
    if event.reason in BEFORE_START:
        scheduled = event.reason == "FailedScheduling" and pod.node is not None
        since = pod.running_since
        return scheduled or (since is not None and (event.last or 0.0) <= since + 1)
    old = event.last is not None and event.last < release.now - STILL
    return event.reason == "Unhealthy" and (pod.ready or old)


def before(release: Release, made_anew: Event) -> list[Event]:
    """Return what was seen of the group's pods in the two minutes before it was made anew."""
    end, group = made_anew.first or release.now, release.group_of(made_anew.message)
    found = [event for event in release.events if event.kind == "Pod" and release.group_of(event.name) == group]
    telling = [event for event in found if event.reason in TELLING and not event.message.startswith("Stopping")]
    return [event for event in telling if end - 120 <= (event.first or 0.0) <= end + 2]


def recreations(release: Release, group: int) -> Sequence[Event]:
    """Return the events that a group was made anew."""
    mine = (event for event in release.events if event.reason == RECREATED)
    return [event for event in mine if release.group_of(event.message) == group]
