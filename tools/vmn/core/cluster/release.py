"""A release as it is on the cluster: its LeaderWorkerSet, groups, pods, nodes, events and logs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from vmn.core.cluster.container_log import ContainerLog
from vmn.core.cluster.events import Event, read_event
from vmn.core.cluster.lws import GROUP, NAME, WORKER
from vmn.core.cluster.snapshot import Object, Snapshot, condition_of, labels_of
from vmn.core.cluster.timestamps import earliest, seconds

INSTANCE = "app.kubernetes.io/instance"
"""Label: the name of the Helm release."""
EVENT_SECONDS = 3600.0
"""Seconds for which the API server keeps events (--event-ttl)."""


@dataclass(frozen=True)
class Pulse:
    """What a leader's ``/metrics`` said, twice.

    Attributes:
        running: requests that the engine works on, the smaller of both numbers.
        tokens: that came in between.
        apart: seconds between.
    """

    running: float
    tokens: float
    apart: float


@dataclass(frozen=True)
class Pod:
    """One pod.

    Attributes:
        item: as the server has it.
    """

    item: Object

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.item["metadata"]["name"])

    @property
    def group(self) -> int:
        """Index of its group."""
        return int(labels_of(self.item).get(GROUP, 0))

    @property
    def index(self) -> int:
        """Its place in the group, 0 for the leader."""
        return int(labels_of(self.item).get(WORKER, 0))

    @property
    def role(self) -> str:
        """What it is in the group."""
        return "worker" if self.index else "leader"

    @property
    def uid(self) -> str:
        """What tells it from others of the same name."""
        return str(self.item["metadata"].get("uid", ""))

    @property
    def node(self) -> str | None:
        """Where it runs, None before it is placed."""
        found: str | None = self.item["spec"].get("nodeName")
        return found

    @property
    def created(self) -> float | None:
        """When it was made."""
        return seconds(self.item["metadata"].get("creationTimestamp"))

    @property
    def ends_since(self) -> float | None:
        """When its grace ends, None when nobody deleted it."""
        return seconds(self.item["metadata"].get("deletionTimestamp"))

    @property
    def told_to_end(self) -> float | None:
        """When somebody deleted it, None when nobody did."""
        grace = float(self.item["metadata"].get("deletionGracePeriodSeconds") or 0)
        return None if self.ends_since is None else self.ends_since - grace

    @property
    def status(self) -> Object:
        """Its status."""
        found: Object = self.item.get("status") or {}
        return found

    def condition(self, name: str) -> Object:
        """Return a condition, empty when it has none of that name."""
        return condition_of(self.item, name)

    @property
    def unschedulable(self) -> bool:
        """Whether the scheduler has found no node for it."""
        return self.condition("PodScheduled").get("reason") == "Unschedulable"

    @property
    def ready(self) -> bool:
        """Whether it serves its purpose, and nobody has deleted it."""
        return self.condition("Ready").get("status") == "True" and self.ends_since is None

    @property
    def containers(self) -> list[Object]:
        """The statuses of its containers, those for its start first."""
        return [*(self.status.get("initContainerStatuses") or ()), *(self.status.get("containerStatuses") or ())]

    @property
    def main(self) -> Object:
        """The status of the container with vLLM, empty when it has none yet."""
        found = self.status.get("containerStatuses") or ()
        return next((item for item in found if item["name"] == f"vllm-{self.role}"), found[0] if found else {})

    @property
    def running_since(self) -> float | None:
        """When vLLM's container was started, None while it does not run."""
        return seconds((self.main.get("state", {}).get("running") or {}).get("startedAt"))

    @property
    def restarts(self) -> int:
        """How often containers of it were started again in place."""
        return sum(int(item.get("restartCount", 0)) for item in self.containers)


@dataclass(frozen=True)
class Group:
    """One copy of the model.

    Attributes:
        index: its own.
        size: pods that it should have.
        pods: those that are there, the leader first.
    """

    index: int
    size: int
    pods: Sequence[Pod]

    @property
    def leader(self) -> Pod | None:
        """The first pod, None when it is missing."""
        return next((pod for pod in self.pods if pod.index == 0), None)

    @property
    def told_to_end(self) -> float | None:
        """When the first of its pods was deleted, None when none was."""
        times = [pod.told_to_end for pod in self.pods if pod.told_to_end is not None]
        return min(times, default=None)

    @property
    def serving(self) -> bool:
        """Whether all pods are there and ready."""
        return len(self.pods) == self.size and all(pod.ready for pod in self.pods)


@dataclass(frozen=True)
class Release:
    """A release.

    Attributes:
        name: of the LeaderWorkerSet.
        namespace: where it is.
        snapshot: what was read.
        now: when the reading of it began, in seconds since 1970; logs and pulses are read after it.
        logs: of all containers.
        unread: pods whose log could not be read, and why.
        pulses: of leaders that answered, by pod.
    """

    name: str
    namespace: str
    snapshot: Snapshot
    now: float
    logs: Sequence[ContainerLog] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    pulses: Mapping[str, Pulse] = field(default_factory=dict)

    @property
    def lws(self) -> Object | None:
        """The LeaderWorkerSet, None when it is not there."""
        return self.snapshot.named("leaderworkersets", self.name)

    @cached_property
    def made(self) -> float:
        """When the LeaderWorkerSet was made, in seconds since 1970; 0 when it is not there."""
        return seconds((self.lws or {}).get("metadata", {}).get("creationTimestamp")) or 0.0

    @property
    def wanted(self) -> int:
        """How many groups should be there."""
        return _replicas(self.lws) if self.lws else 0

    @property
    def leader_set(self) -> Object | None:
        """The StatefulSet that makes the leaders, None when it is not there."""
        return self.snapshot.named("statefulsets", self.name)

    @property
    def asked_for(self) -> int | None:
        """How many leaders LeaderWorkerSet's controller has asked for, None when it has not; more in a rollout."""
        return _replicas(self.leader_set) if self.leader_set else None

    @property
    def passed_on(self) -> bool:
        """Whether the controller has asked for all groups that should be there."""
        return self.asked_for is None or self.asked_for >= self.wanted

    def is_scaled_away(self, group: Group) -> bool:
        """Return whether nobody wants a group any more, whose pods may outlive that for a moment.

        Not of a group of which that is not known, as without the StatefulSet or without the right to read it.
        """
        return self.asked_for is not None and group.index >= max(self.wanted, self.asked_for)

    @cached_property
    def scaled(self) -> float:
        """When the number of groups was set last, as the server keeps it with each field; 0 when it does not.

        It keeps none of what comes in by the scale subresource of a custom resource, as from ``kubectl scale`` and
        autoscalers (measured, Kubernetes 1.36), but one of the StatefulSet to which the controller passes it on.
        """
        return max(_replicas_set_at(item) for item in (self.lws, self.leader_set))

    @cached_property
    def groups(self) -> list[Group]:
        """All groups: those that should be there, and those that are."""
        spec = (self.lws or {}).get("spec", {})
        size = int(spec.get("leaderWorkerTemplate", {}).get("size", 1))
        indexes = sorted({*range(self.wanted), *(pod.group for pod in self.pods)})
        return [Group(index, size, [pod for pod in self.pods if pod.group == index]) for index in indexes]

    @cached_property
    def pods(self) -> list[Pod]:
        """The pods of all groups, by group and place."""
        return own_pods(self.snapshot, self.name)

    @cached_property
    def events(self) -> list[Event]:
        """The events about the release in the last hour, the oldest first."""
        found = (read_event(item) for item in self.snapshot.all("events"))
        return sorted((event for event in found if self._is_own(event)), key=lambda event: earliest([event.first]))

    def _is_own(self, event: Event) -> bool:
        """Return whether an event is about this release, and not about an earlier one of the same name."""
        if event.last is not None and event.last < max(self.made, self.now - EVENT_SECONDS):
            return False
        return event.name == self.name or self.group_of(event.name) is not None

    def node_of(self, pod: Pod) -> Object | None:
        """Return a pod's node, None when it has none, or it is gone or may not be read."""
        return self.snapshot.named("nodes", pod.node) if pod.node else None

    def role_of(self, pod: str) -> str:
        """Return what a pod of this name is in its group."""
        return "worker" if pod.removeprefix(f"{self.name}-").count("-") else "leader"

    def group_of(self, text: str) -> int | None:
        """Return the group of the first of this release's pods that a text names."""
        found = re.search(rf"(?<![\w-]){re.escape(self.name)}-(\d+)(?:-\d+)?(?![\w-])", text)
        return int(found[1]) if found else None


def _replicas(item: Object) -> int:
    """Return how many replicas an object asks for; Kubernetes' default is one."""
    return int(item.get("spec", {}).get("replicas", 1))


def _replicas_set_at(item: Object | None) -> float:
    """Return when an object's number of replicas was set last; 0 when that is not known."""
    fields = (item or {}).get("metadata", {}).get("managedFields") or ()
    owners = [one for one in fields if "f:replicas" in (one.get("fieldsV1") or {}).get("f:spec", {})]
    return max((seconds(one.get("time")) or 0.0 for one in owners), default=0.0)


def own_pods(snapshot: Snapshot, name: str) -> list[Pod]:
    """Return the pods of a LeaderWorkerSet, by group and place."""
    mine = [Pod(item) for item in snapshot.all("pods") if labels_of(item).get(NAME) == name]
    return sorted(mine, key=lambda pod: (pod.group, pod.index))
