"""Observations about containers that restarted before their group ran, for which LeaderWorkerSet recreates the group.

LWS 0.9 recreates a group when a container of it has a restart count, at any time before, and no pod is pending any more
(pkg/controllers/pod_controller.go, handleRestartPolicy; pkg/utils/pod, ContainerRestarted).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from vmn.core.cluster.events import Event
from vmn.core.cluster.release import Group, Release
from vmn.core.doctor.events import SAME_MOMENT_SECONDS, recreations
from vmn.core.doctor.evidence import Observation

CONTAINER = re.compile(r"spec\.\w+\{(?P<name>.+)\}")
"""How an event names a container (Kubernetes, pkg/kubelet/container/ref.go)."""
STARTED = "Started"
OFTEN = 2
"""Number of such recreations from which the next one is expected, too."""


def waits_for_others(group: Group) -> bool:
    """Return whether a pod of the group is missing or pending, which keeps LWS from recreating the group."""
    return len(group.pods) < group.size or any(pod.status.get("phase") == "Pending" for pod in group.pods)


def early_restarts(release: Release, group: Group) -> Iterator[Observation]:
    """Yield that a restarted container will end the group, or has ended it."""
    restarted = [(pod, status) for pod in group.pods for status in pod.containers if status.get("restartCount")]
    if waits_for_others(group) and restarted:
        pod, status = restarted[0]
        text = (
            f"{status['name']} of {pod.name} has restarted {status['restartCount']} times, and not all pods of group "
            f"{group.index} run yet"
        )
        yield _about(group, "restarted-before-start", text, status["name"], pod.name, release)
    found = [one for event in recreations(release, group.index) for one in _restarted_before(release, group, event)]
    if found:
        pod_name, container, event = found[-1]
        often = "repeatedly" if len(found) >= OFTEN else "once"
        text = f"{container} of {pod_name} had restarted when LeaderWorkerSet recreated the group: {event.message}"
        serving = "yes" if group.serving else "no"
        yield _about(group, "recreated-after-restart", text, container, pod_name, release, event.last, often, serving)


def _about(
    group: Group,
    kind: str,
    text: str,
    container: str,
    pod: str,
    release: Release,
    at: float | None = None,
    often: str = "",
    serving: str = "",
) -> Observation:
    fields = {"container": container, "often": often, "serving": serving}
    return Observation(
        kind, "group", f"group {group.index}", text, fields, "", at, pod, release.role_of(pod), group.index
    )


def _restarted_before(release: Release, group: Group, recreation: Event) -> Sequence[tuple[str, str, Event]]:
    """Return a pod and its container that had started more than once when the group was recreated; vLLM's do not count.

    What vLLM's container does is told by its own log. The pods of the recreation are those that no longer exist.
    """
    present = {pod.uid for pod in group.pods}
    end = (recreation.last or release.now) + SAME_MOMENT_SECONDS
    starts: Counter[tuple[str, str, str]] = Counter()
    for event in release.events_of(group.index):
        named = CONTAINER.fullmatch(event.field)
        own = named is not None and not named["name"].startswith("vllm-")
        if named and own and event.reason == STARTED and event.uid not in present and (event.last or 0.0) <= end:
            starts[event.name, event.uid, named["name"]] += event.count
    often = [(name, container) for (name, _, container), count in starts.items() if count > 1]
    return [(name, container, recreation) for name, container in often[-1:]]
