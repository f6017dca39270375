"""Rendered pods, read as a kubelet reads them: environment, volumes, probes, hooks, and the user."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Object = Mapping[str, Any]
"""A Kubernetes object."""
LABELS = "leaderworkerset.sigs.k8s.io/"
"""Prefix of LeaderWorkerSet's labels."""
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
"""Suffixes of Kubernetes' quantities."""


@dataclass(frozen=True)
class Probe:
    """A probe, with Kubernetes' defaults (v1 API reference, Probe). Times are in seconds."""

    kind: str
    http: tuple[int, str] | None
    tcp: int | None
    command: Sequence[str]
    initial: float
    period: float
    timeout: float
    failures: int
    successes: int


@dataclass(frozen=True)
class Mount:
    """A volume where a container sees it.

    Attributes:
        volume: its name in the pod.
        path: in the container.
        kind: ``files`` (of a ConfigMap), ``memory``, ``scratch`` (an emptyDir), or ``node`` (a directory of the node).
        files: name -> content, of a ConfigMap.
        size: bytes of a memory volume, None for no limit.
    """

    volume: str
    path: str
    kind: str
    read_only: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None


@dataclass(frozen=True)
class Pod:
    """A pod of one container, after its init containers.

    Attributes:
        item: the Pod object.
        config_maps: name -> data.
    """

    item: Object
    config_maps: Mapping[str, Mapping[str, str]]

    @property
    def name(self) -> str:
        return str(self.item["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.item["metadata"].get("namespace", "default"))

    @property
    def index(self) -> int:
        """The pod's place in its group, 0 for the leader."""
        return int(self.item["metadata"].get("labels", {}).get(f"{LABELS}worker-index", 0))

    @property
    def role(self) -> str:
        return "worker" if self.index else "leader"

    @property
    def container(self) -> Object:
        containers: Sequence[Object] = self.item["spec"]["containers"]
        return containers[0]

    @property
    def init(self) -> list[Pod]:
        """The pod with one of its init containers instead of its container, for each of them."""
        spec = self.item["spec"]
        return [
            replace(self, item={**self.item, "spec": {**spec, "containers": [one], "initContainers": []}})
            for one in spec.get("initContainers") or ()
        ]

    @property
    def host(self) -> str:
        """The pod's host name."""
        return str(self.item["spec"].get("hostname", self.name))

    @property
    def names(self) -> list[str]:
        """The names by which other pods of the cluster find this one, the whole name first."""
        subdomain, host = self.item["spec"].get("subdomain"), self.host
        inside = f"{host}.{subdomain}.{self.namespace}"
        return [f"{inside}.svc.cluster.local", f"{inside}.svc", inside, f"{host}.{subdomain}"] if subdomain else [host]

    @property
    def grace(self) -> float:
        """Seconds from a deletion to SIGKILL."""
        return float(self.item["spec"].get("terminationGracePeriodSeconds", 30))

    @property
    def pre_stop(self) -> Sequence[str]:
        """The command of the preStop hook, empty if there is none."""
        hook = self.container.get("lifecycle", {}).get("preStop", {})
        command: Sequence[str] = hook.get("exec", {}).get("command", ())
        return command

    @property
    def user(self) -> tuple[int | None, int, list[int]]:
        """User, group, and further groups; no user means the image's."""
        context = {**self.item["spec"].get("securityContext", {}), **self.container.get("securityContext", {})}
        groups = [int(context[key]) for key in ("fsGroup",) if key in context]
        return context.get("runAsUser"), int(context.get("runAsGroup", 0)), groups

    @property
    def confined(self) -> bool:
        """Whether the container may not gain privileges."""
        return self.container.get("securityContext", {}).get("allowPrivilegeEscalation") is False

    @property
    def read_only(self) -> bool:
        """Whether the container's root file system is read-only."""
        return bool(self.container.get("securityContext", {}).get("readOnlyRootFilesystem"))

    def port(self, name: str | int) -> int:
        """Return a port by its name or number.

        Raises:
            ValueError: the container has no such port.
        """
        if isinstance(name, int):
            return name
        for port in self.container.get("ports", ()):
            if port.get("name") == name:
                return int(port["containerPort"])
        raise ValueError(f"{self.name}: no port {name}")

    def env(self, fields: Mapping[str, str]) -> dict[str, str]:
        """Return the container's variables.

        Args:
            fields: what only a running pod has, such as ``status.podIP``.

        Raises:
            ValueError: a variable comes from something that is not there.
        """
        found: dict[str, str] = {}
        for item in self.container.get("env", ()):
            if "value" in item or "valueFrom" not in item:
                found[item["name"]] = expanded(str(item.get("value", "")), found)
                continue
            source = item["valueFrom"]
            path = source.get("fieldRef", {}).get("fieldPath")
            if path in fields:
                found[item["name"]] = fields[path]
            elif not next(iter(source.values())).get("optional"):
                raise ValueError(f"{self.name}: {item['name']} comes from {json.dumps(source)}, which is not there")
        return found

    def command(self, env: Mapping[str, str]) -> list[str]:
        """Return command and arguments."""
        words = [*self.container.get("command", ()), *self.container.get("args", ())]
        return [expanded(word, env) for word in words]

    def probes(self) -> list[Probe]:
        """Return the probes: startup, readiness, liveness, as far as there are."""
        kinds = ("startup", "readiness", "liveness")
        return [_probe(self, kind, spec) for kind in kinds if (spec := self.container.get(f"{kind}Probe"))]

    def mounts(self) -> list[Mount]:
        """Return the container's mounts, outer paths before inner ones.

        Raises:
            ValueError: a mount has a subPath.
        """
        volumes = {volume["name"]: volume for volume in self.item["spec"].get("volumes", ())}
        found = [self._mount(mount, volumes[mount["name"]]) for mount in self.container.get("volumeMounts", ())]
        return sorted(found, key=lambda mount: mount.path.count("/"))

    def _mount(self, mount: Object, volume: Object) -> Mount:
        if mount.get("subPath"):
            raise ValueError(f"{self.name}: mounts with a subPath are not supported: {mount}")
        name, path, read_only = str(mount["name"]), str(mount["mountPath"]), bool(mount.get("readOnly"))
        if "configMap" in volume:
            return Mount(name, path, "files", True, self.config_maps[volume["configMap"]["name"]])
        if "emptyDir" in volume:
            limit = (volume["emptyDir"] or {}).get("sizeLimit")
            kind = "memory" if (volume["emptyDir"] or {}).get("medium") == "Memory" else "scratch"
            return Mount(name, path, kind, read_only, size=None if limit is None else quantity(limit))
        return Mount(name, path, "node", read_only)


def _probe(pod: Pod, kind: str, spec: Object) -> Probe:
    http, tcp = spec.get("httpGet"), spec.get("tcpSocket")
    return Probe(
        kind=kind,
        http=(pod.port(http["port"]), str(http.get("path", "/"))) if http else None,
        tcp=pod.port(tcp["port"]) if tcp else None,
        command=spec.get("exec", {}).get("command", ()),
        initial=float(spec.get("initialDelaySeconds", 0)),
        period=float(spec.get("periodSeconds", 10)),
        timeout=float(spec.get("timeoutSeconds", 1)),
        failures=int(spec.get("failureThreshold", 3)),
        successes=int(spec.get("successThreshold", 1)),
    )


def hosts_file(pods: Mapping[str, Pod], own: str, services: Iterable[str]) -> str:
    """Return /etc/hosts of a pod: what a kubelet writes, and in place of a DNS the names of the group.

    A kubelet writes the pod's host name without a domain, too. Gloo looks it up to find the interface that it uses.

    Args:
        pods: address -> pod.
        own: the pod's address.
        services: names of Services, whose address is the leader's here.
    """
    lines = ["127.0.0.1 localhost"]
    for address, pod in pods.items():
        names = [*pod.names, *([pod.host] if address == own else ()), *(services if pod.role == "leader" else ())]
        lines.append(" ".join([address, *dict.fromkeys(names)]))
    return "\n".join(lines) + "\n"


def expanded(text: str, env: Mapping[str, str]) -> str:
    """Return a text with ``$(NAME)`` replaced as Kubernetes does: unknown names stay, and ``$$(`` is ``$(``."""

    def value(found: re.Match[str]) -> str:
        whole, name = found[0], found[1]
        return whole[1:] if whole.startswith("$$") else env.get(name, whole)

    return re.sub(r"\$?\$\(([A-Za-z_.-][\w.-]*)\)", value, text)


def quantity(text: str | int) -> int:
    """Return a quantity of Kubernetes, such as ``8Gi``, in bytes.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", str(text))
    if not found or found[2] not in UNITS:
        raise ValueError(f"{text!r} is not a quantity of Kubernetes")
    return int(float(found[1]) * UNITS[found[2]])
