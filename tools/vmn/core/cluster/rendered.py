"""A release as the chart renders it: what it asks of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from vmn.core.cluster.quantity import quantity
from vmn.core.cluster.snapshot import Object


@dataclass(frozen=True)
class RolePods:
    """The pods of one role.

    Attributes:
        role: ``leader`` or ``worker``.
        count: number of these pods in all groups.
        template: the pod template, with metadata and spec.
    """

    role: str
    count: int
    template: Object

    @property
    def spec(self) -> Object:
        """The specification of the pods."""
        found: Object = self.template["spec"]
        return found

    @property
    def requests(self) -> dict[str, Decimal]:
        """What one pod takes from a node, by resource: its requests, or limits without requests."""
        return pod_requests(self.spec)


@dataclass(frozen=True)
class RenderedRelease:
    """A release as the chart renders it.

    Attributes:
        name: name of the release.
        namespace: namespace of the release.
        objects: the rendered objects.
    """

    name: str
    namespace: str
    objects: Sequence[Object]

    def of_kind(self, kind: str) -> list[Object]:
        """Return the rendered objects of a kind."""
        return [item for item in self.objects if item["kind"] == kind]

    def renders(self, kind: str, name: str) -> bool:
        """Return whether the release creates this object itself."""
        return any(item["metadata"]["name"] == name for item in self.of_kind(kind))

    @property
    def lws(self) -> Object:
        return self.of_kind("LeaderWorkerSet")[0]

    @property
    def replicas(self) -> int:
        """The number of groups; with an autoscaler, its minimum."""
        least = [item["spec"]["minReplicas"] for item in self.of_kind("HorizontalPodAutoscaler")]
        least += [item["spec"]["minReplicaCount"] for item in self.of_kind("ScaledObject")]
        return int(self.lws["spec"].get("replicas", max([1, *least])))

    @property
    def size(self) -> int:
        """The number of pods of a group."""
        return int(self.lws["spec"]["leaderWorkerTemplate"].get("size", 1))

    @property
    def surge(self) -> int:
        """The number of extra groups during a rollout (``maxSurge``); a percentage is of the replicas."""
        rollout = self.lws["spec"].get("rolloutStrategy", {}).get("rollingUpdateConfiguration", {})
        value = str(rollout.get("maxSurge", 0))
        if value.endswith("%"):
            return -(-self.replicas * int(value[:-1]) // 100)
        return int(value)

    @property
    def pods(self) -> list[RolePods]:
        """The pods of each role; a group of one pod has no workers."""
        template = self.lws["spec"]["leaderWorkerTemplate"]
        leader = RolePods("leader", self.replicas, template.get("leaderTemplate") or template["workerTemplate"])
        workers = self.replicas * (self.size - 1)
        return [leader, RolePods("worker", workers, template["workerTemplate"])] if workers else [leader]

    @property
    def jobs(self) -> list[Object]:
        """The specifications of the pods of Jobs, such as the download's."""
        return [item["spec"]["template"]["spec"] for item in self.of_kind("Job")]

    @property
    def pod_specs(self) -> list[Object]:
        """The specifications of all pods, of both roles and of Jobs."""
        return [*(pod.spec for pod in self.pods), *self.jobs]

    @property
    def gpu_resource(self) -> str | None:
        """The resource under which nodes offer GPUs, None without one."""
        extended = [name for name in self.pods[0].requests if "/" in name]
        return next((name for name in extended if "gpu" in name.lower()), extended[0] if extended else None)


def pod_requests(spec: Object) -> dict[str, Decimal]:
    """Return what a pod takes from a node: the sum of its containers, or a larger init container."""
    total: dict[str, Decimal] = {}
    for container in spec.get("containers", ()):
        for name, amount in _requests(container).items():
            total[name] = total.get(name, Decimal(0)) + amount
    for container in spec.get("initContainers", ()):
        always = container.get("restartPolicy") == "Always"
        for name, amount in _requests(container).items():
            total[name] = total.get(name, Decimal(0)) + amount if always else max(total.get(name, Decimal(0)), amount)
    return total


def _requests(container: Object) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    given = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: quantity(value) for name, value in given.items()}


@dataclass(frozen=True)
class Reference:
    """A Secret or ConfigMap that pods use.

    Attributes:
        kind: ``Secret`` or ``ConfigMap``.
        name: name of the object.
        key: the key that is used, None for the whole object.
        optional: whether pods start without it.
        what: what uses it, for people.
    """

    kind: str
    name: str
    key: str | None
    optional: bool
    what: str


def references(spec: Object) -> Iterator[Reference]:
    """Yield the Secrets and ConfigMaps that a pod uses."""
    for entry in spec.get("imagePullSecrets") or ():
        yield Reference("Secret", entry["name"], None, False, "imagePullSecrets")
    for container in [*spec.get("initContainers", ()), *spec.get("containers", ())]:
        for variable in container.get("env") or ():
            source = variable.get("valueFrom") or {}
            for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                if found := source.get(field):
                    optional = bool(found.get("optional"))
                    yield Reference(kind, found["name"], found["key"], optional, f"env {variable['name']}")
        for entry in container.get("envFrom") or ():
            for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
                if found := entry.get(field):
                    yield Reference(kind, found["name"], None, bool(found.get("optional")), "envFrom")
    for volume in spec.get("volumes") or ():
        if found := volume.get("secret"):
            what = f"volume {volume['name']}"
            yield Reference("Secret", found["secretName"], None, bool(found.get("optional")), what)
        if found := volume.get("configMap"):
            what = f"volume {volume['name']}"
            yield Reference("ConfigMap", found["name"], None, bool(found.get("optional")), what)


def plain_env(container: Object) -> dict[str, str]:
    """Return the environment variables of a container that have a plain value."""
    return {item["name"]: str(item["value"]) for item in container.get("env") or () if "value" in item}
