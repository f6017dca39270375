"""A release as it is on the cluster: its LeaderWorkerSet, groups, pods, nodes, events and logs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
SERVER_PORT = re.compile(r"http(-\d+)?")
"""Name of the port of an API server in the chart's pods."""


@dataclass(frozen=True)
class Pulse:
    """What two readings of the ``/metrics`` of a pod's API servers show.

    Attributes:
        running: requests that the engines were working on, the smaller of both numbers.
        tokens: tokens generated between the readings.
        seconds: time between the readings.
    """

    running: float
    tokens: float
    seconds: float


@dataclass(frozen=True)
class Pod:
    """One pod.

    Attributes:
        item: the object that the API server returned.
    """

    item: Object

    @property
    def name(self) -> str:
        return str(self.item["metadata"]["name"])

    @property
    def group(self) -> int:
        """Index of the pod's group."""
        return int(labels_of(self.item).get(GROUP, 0))

    @property
    def index(self) -> int:
        """The pod's place in the group, 0 for the leader."""
        return int(labels_of(self.item).get(WORKER, 0))

    @property
    def role(self) -> str:
        """Whether the pod is the leader or a worker of its group."""
        return "worker" if self.index else "leader"

    @property
    def uid(self) -> str:
        """The identifier that tells the pod from earlier ones of the same name."""
        return str(self.item["metadata"].get("uid", ""))

    @property
    def node(self) -> str | None:
        """The node that the pod runs on, None before it is scheduled."""
        found: str | None = self.item["spec"].get("nodeName")
        return found

    @property
    def server_ports(self) -> Sequence[int]:
        """The ports of the pod's API servers, by the names that the chart gives them; empty without a server."""
        return [number for name, number in self._ports.items() if SERVER_PORT.fullmatch(name)]

    @property
    def health_port(self) -> int | None:
        """The port that answers probes for all of the pod's API servers, None without a server."""
        return self._ports.get("health", self._ports.get("http"))

    @property
    def _ports(self) -> Mapping[str, int]:
        ports = [port for item in self.item["spec"].get("containers") or () for port in item.get("ports") or ()]
        return {port.get("name", ""): port["containerPort"] for port in ports}

    @property
    def created_at(self) -> float | None:
        """When the pod was created."""
        return seconds(self.item["metadata"].get("creationTimestamp"))

    @property
    def deletion_deadline(self) -> float | None:
        """When the pod's grace period ends, None unless it was deleted."""
        return seconds(self.item["metadata"].get("deletionTimestamp"))

    @property
    def deleted_at(self) -> float | None:
        """When the pod was deleted, None unless it was."""
        grace = float(self.item["metadata"].get("deletionGracePeriodSeconds") or 0)
        return None if self.deletion_deadline is None else self.deletion_deadline - grace

    @property
    def status(self) -> Object:
        """The pod's status, empty before it has one."""
        found: Object = self.item.get("status") or {}
        return found

    def condition(self, name: str) -> Object:
        """Return a condition, empty when the pod has none of that name."""
        return condition_of(self.item, name)

    @property
    def unschedulable(self) -> bool:
        """Whether the scheduler found no node for the pod."""
        return self.condition("PodScheduled").get("reason") == "Unschedulable"

    @property
    def ready(self) -> bool:
        """Whether the pod is ready, has not ended, and was not deleted."""
        ready = self.condition("Ready").get("status") == "True" and self.deletion_deadline is None
        return ready and self.status.get("phase") not in ("Failed", "Succeeded")

    @property
    def containers(self) -> list[Object]:
        """The statuses of the pod's containers, init containers first."""
        return [*(self.status.get("initContainerStatuses") or ()), *(self.status.get("containerStatuses") or ())]

    @property
    def main(self) -> Object:
        """The status of vLLM's container, empty before it has one."""
        found = self.status.get("containerStatuses") or ()
        return next((item for item in found if item["name"] == f"vllm-{self.role}"), found[0] if found else {})

    @property
    def running_since(self) -> float | None:
        """When vLLM's container was started, None unless it is running."""
        return seconds((self.main.get("state", {}).get("running") or {}).get("startedAt"))

    @property
    def unready_since(self) -> float | None:
        """Since when vLLM's container, which has started (passed its startup probe), is not ready; None otherwise."""
        if not self.main.get("started") or self.ready or self.running_since is None or self.deletion_deadline:
            return None
        since = seconds(self.condition("Ready").get("lastTransitionTime"))
        return max(since or 0.0, self.running_since)

    def has_ended(self, container: str) -> bool:
        """Return whether the last run of a container is over."""
        state = next((item.get("state") or {} for item in self.containers if item["name"] == container), {})
        return "terminated" in state or (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"

    @property
    def restarts(self) -> int:
        """How often the pod's containers restarted."""
        return sum(int(item.get("restartCount", 0)) for item in self.containers)


@dataclass(frozen=True)
class Group:
    """A leader and its workers.

    Attributes:
        index: the group's number, from 0.
        size: number of pods that the group should have.
        pods: the pods that exist, the leader first.
    """

    index: int
    size: int
    pods: Sequence[Pod]

    @property
    def leader(self) -> Pod | None:
        """The group's leader, None when it is missing."""
        return next((pod for pod in self.pods if pod.index == 0), None)

    @property
    def deleted_at(self) -> float | None:
        """When the first of the group's pods was deleted, None unless one was."""
        times = [pod.deleted_at for pod in self.pods if pod.deleted_at is not None]
        return min(times, default=None)

    @property
    def serving(self) -> bool:
        """Whether all pods exist and are ready."""
        return len(self.pods) == self.size and all(pod.ready for pod in self.pods)


@dataclass(frozen=True)
class Release:
    """A release on a cluster.

    Attributes:
        name: name of the LeaderWorkerSet.
        namespace: namespace of the LeaderWorkerSet.
        snapshot: the objects that were read.
        now: when reading began, in seconds since 1970; logs and pulses are read later.
        logs: logs of all containers.
        unread: pods whose log could not be read, and why.
        pulses: pulses of the pods with API servers that answered, by pod.
        silent: pods with API servers that have started, are not ready, and did not answer ``/health``.
    """

    name: str
    namespace: str
    snapshot: Snapshot
    now: float
    logs: Sequence[ContainerLog] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    pulses: Mapping[str, Pulse] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()

    @property
    def lws(self) -> Object | None:
        """The LeaderWorkerSet, None when it does not exist."""
        return self.snapshot.named("leaderworkersets", self.name)

    def with_pods(self, pods: Sequence[Pod]) -> Release:
        """Return the release with other pods instead of those that were read."""
        objects = {**self.snapshot.objects, "pods": [pod.item for pod in pods]}
        return replace(self, snapshot=replace(self.snapshot, objects=objects))

    @cached_property
    def created_at(self) -> float:
        """When the LeaderWorkerSet was created, in seconds since 1970; 0 when it does not exist."""
        return seconds((self.lws or {}).get("metadata", {}).get("creationTimestamp")) or 0.0

    @property
    def desired_groups(self) -> int:
        """The number of groups that the LeaderWorkerSet asks for."""
        return _replicas(self.lws) if self.lws else 0

    @property
    def leader_statefulset(self) -> Object | None:
        """The StatefulSet that creates the leaders, None when it does not exist."""
        return self.snapshot.named("statefulsets", self.name)

    @property
    def requested_leaders(self) -> int | None:
        """The number of leaders that LWS requested; more during a rollout, None before it requests any."""
        return _replicas(self.leader_statefulset) if self.leader_statefulset else None

    @property
    def controller_caught_up(self) -> bool:
        """Whether LWS has seen the last change, and has requested a leader for each group that should exist."""
        asked = self.requested_leaders is None or self.requested_leaders >= self.desired_groups
        generation = (self.lws or {}).get("metadata", {}).get("generation", 0)
        observed = ((self.lws or {}).get("status") or {}).get("observedGeneration", generation)
        return asked and bool(observed >= generation)

    def is_scaled_away(self, group: Group) -> bool:
        """Return whether the release was scaled down below a group, whose pods may exist for a moment longer.

        The answer is False when that is not known: without the StatefulSet, or without the right to read it.
        """
        return self.requested_leaders is not None and group.index >= max(self.desired_groups, self.requested_leaders)

    @cached_property
    def last_scaled_at(self) -> float:
        """When the number of groups was last set, from the server's managed fields; 0 when they do not tell.

        The server records no time for a custom resource's scale subresource, which ``kubectl scale`` and autoscalers
        use (measured, Kubernetes 1.36), but it records one for the StatefulSet that LWS then updates.
        """
        return max(_replicas_set_at(item) for item in (self.lws, self.leader_statefulset))

    @cached_property
    def groups(self) -> list[Group]:
        """All groups: those that should exist, and those that do."""
        spec = (self.lws or {}).get("spec", {})
        size = int(spec.get("leaderWorkerTemplate", {}).get("size", 1))
        members: dict[int, list[Pod]] = {index: [] for index in range(self.desired_groups)}
        for pod in self.pods:
            members.setdefault(pod.group, []).append(pod)
        return [Group(index, size, members[index]) for index in sorted(members)]

    @cached_property
    def pods(self) -> list[Pod]:
        """The pods of all groups, by group and place."""
        return own_pods(self.snapshot, self.name)

    @cached_property
    def events(self) -> list[Event]:
        """The events about the release in the last hour, the oldest first."""
        found = (read_event(item) for item in self.snapshot.all("events"))
        return sorted((event for event in found if self._is_own(event)), key=lambda event: earliest([event.first]))

    @cached_property
    def _events_by_group(self) -> Mapping[int | None, Sequence[Event]]:
        found: dict[int | None, list[Event]] = {}
        for event in self.events:
            found.setdefault(self.group_of(event.name), []).append(event)
        return found

    def events_of(self, group: int) -> Sequence[Event]:
        """Return the events about the pods of a group, the oldest first."""
        return self._events_by_group.get(group, ())

    @cached_property
    def logs_by_pod(self) -> Mapping[str, Sequence[ContainerLog]]:
        """The logs of each pod that has any."""
        found: dict[str, list[ContainerLog]] = {}
        for log in self.logs:
            found.setdefault(log.pod, []).append(log)
        return found

    @cached_property
    def _logged_pods(self) -> Mapping[int | None, Sequence[str]]:
        found: dict[int | None, list[str]] = {}
        for pod in self.logs_by_pod:
            found.setdefault(self.group_of(pod), []).append(pod)
        return found

    def logs_of(self, group: int) -> Sequence[ContainerLog]:
        """Return the logs of a group's pods."""
        return [log for pod in self._logged_pods.get(group, ()) for log in self.logs_by_pod[pod]]

    def _is_own(self, event: Event) -> bool:
        """Return whether an event is about this release, and not about an earlier one of the same name."""
        if event.last is not None and event.last < max(self.created_at, self.now - EVENT_SECONDS):
            return False
        return event.name == self.name or self.group_of(event.name) is not None

    @cached_property
    def leases(self) -> Mapping[str, float]:
        """When each node last gave a sign of life, by the nodes' clocks."""
        found = ((item["metadata"]["name"], item["spec"].get("renewTime")) for item in self.snapshot.all("leases"))
        return {name: at for name, renewed in found if (at := seconds(renewed)) is not None}

    def node_of(self, pod: Pod) -> Object | None:
        """Return a pod's node, None when the pod has none or the node is gone or could not be read."""
        return self.snapshot.named("nodes", pod.node) if pod.node else None

    def role_of(self, pod: str) -> str:
        """Return the role of a pod by its name."""
        return "worker" if pod.removeprefix(f"{self.name}-").count("-") else "leader"

    @cached_property
    def _pod_name(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![\w-]){re.escape(self.name)}-(\d+)(?:-\d+)?(?![\w-])")

    def group_of(self, text: str) -> int | None:
        """Return the group of the first pod of this release that a text names, None when it names none."""
        found = self._pod_name.search(text)
        return int(found[1]) if found else None


def _replicas(item: Object) -> int:
    """Return the number of replicas that an object asks for; Kubernetes' default is 1."""
    return int(item.get("spec", {}).get("replicas", 1))


def _replicas_set_at(item: Object | None) -> float:
    """Return when an object's number of replicas was last set; 0 when that is not known."""
    fields = (item or {}).get("metadata", {}).get("managedFields") or ()
    owners = [one for one in fields if "f:replicas" in (one.get("fieldsV1") or {}).get("f:spec", {})]
    return max((seconds(one.get("time")) or 0.0 for one in owners), default=0.0)


def own_pods(snapshot: Snapshot, name: str) -> list[Pod]:
    """Return the pods of a LeaderWorkerSet, by group and place."""
    mine = [Pod(item) for item in snapshot.all("pods") if labels_of(item).get(NAME) == name]
    return sorted(mine, key=lambda pod: (pod.group, pod.index))
