"""A group of pods on this host, and what LeaderWorkerSet does for it: all of its pods end when one has ended."""

from __future__ import annotations

import http.client
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpu.twopods.container import Container
from gpu.twopods.events import Event
from gpu.twopods.groupspec import GroupSpec
from gpu.twopods.kubelet import Kubelet, in_parallel
from gpu.twopods.machine import Machine, kill_all
from gpu.twopods.network import Cable, ProgramFailed, Sandbox
from gpu.twopods.podspec import Pod, hosts_file
from gpu.twopods.probing import status_of
from gpu.twopods.slowness import Slowness

NOTICED = 1.0
"""Seconds until a kubelet has seen that a container ended and LeaderWorkerSet deletes its group (measured on the local
cluster: 1 to 2). The kubelet has restarted the container by then; here it stays ended."""
SEEN = 0.3
"""Seconds until LeaderWorkerSet has seen that a pod is being deleted."""
HEALTH = 3
"""Seconds for an answer to /health."""
TICK = 0.05


@dataclass
class Group:
    """The pods of a group.

    Attributes:
        spec: what was rendered.
        machine: the host.
        folder: a new directory for this group.
        caches: directory of the nodes' caches; each pod has one of its own there.
        generation: number of this group in this run.
        env: role -> variables for the pods of that role, as if their image had them.
        events: of the LeaderWorkerSet.
        notes: what is worth to be known of the faults.
        slowness: of its cable, while it has one.
        clients: that send requests to it.
    """

    spec: GroupSpec
    machine: Machine
    folder: Path
    caches: Path
    generation: int
    env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    slowness: Slowness | None = None
    clients: list[subprocess.Popen[bytes]] = field(default_factory=list)
    kubelets: list[Kubelet] = field(default_factory=list)
    sandboxes: list[Sandbox] = field(default_factory=list)
    initial: list[Container] = field(default_factory=list)
    deleted_at: float | None = None
    created_at: float = field(default_factory=time.monotonic)

    def plug(self) -> None:
        """Make the pods' namespaces and the cable between them.

        Raises:
            ProgramFailed: a namespace or the cable can't be made.
        """
        self.created_at = time.monotonic()
        for pod in self.spec.pods:
            self.sandboxes.append(Sandbox.make(pod.name, self.generation, pod.index))
        self.cable = Cable(self.sandboxes)
        self.cable.plug()

    def initialize(self, seconds: float, over: Callable[[Container], bool] = lambda _: False) -> None:
        """Run the pods' init containers, those of one place in all pods at the same time.

        They do not share volumes with the pod's container, except those of the node.

        Args:
            seconds: for all of them.
            over: whether an init container that goes on has done enough.

        Raises:
            ProgramFailed: an init container can't be made, fails, or does not end in time.
            OSError, ValueError: see ``start``.
        """
        until = time.monotonic() + seconds
        for containers in zip(*(pod.init for pod in self.spec.pods), strict=True):
            made = [self.container(pod, sandbox) for pod, sandbox in zip(containers, self.sandboxes, strict=True)]
            self.initial.extend(made)
            for one in made:
                one.start()
            while any(one.running() and not over(one) for one in made) and time.monotonic() < until:
                time.sleep(TICK)
            for one in made:
                if not over(one) and (one.running() or (one.ended and one.ended.status)):
                    raise ProgramFailed(f"{one.pod.name}: its init container did not succeed: {one.log.tail()}")

    def start(self, seconds: float) -> None:
        """Make the pods and start their containers.

        Args:
            seconds: for the init containers.

        Raises:
            ProgramFailed: a namespace, the cable, or a container can't be made.
            OSError: a file can't be written.
            ValueError: the pods have something that this package does not know.
        """
        self.plug()
        self.initialize(seconds)
        for pod, sandbox in zip(self.spec.pods, self.sandboxes, strict=True):
            kubelet = Kubelet(self.container(pod, sandbox))
            self.kubelets.append(kubelet)
            kubelet.start()
        self._stop = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def container(self, pod: Pod, sandbox: Sandbox) -> Container:
        """Return a container of a pod of this group, not started."""
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{pod.name}-", dir=self.folder))
        pods = {sandbox.address: pod for pod, sandbox in zip(self.spec.pods, self.sandboxes, strict=True)}
        hosts, hostname = folder / "hosts", folder / "hostname"
        hosts.write_text(hosts_file(pods, sandbox.address, self.spec.content["services"]), encoding="utf-8")
        hostname.write_text(f"{sandbox.name}\n", encoding="utf-8")
        cache = self.caches / f"node-{pod.index + 1}"
        made = Container(
            pod,
            sandbox,
            self.machine,
            folder,
            files={"/etc/hosts": hosts, "/etc/hostname": hostname},
            cache=cache,
            extra_env=self.env.get(pod.role, {}),
        )
        if not cache.exists():
            cache.mkdir(parents=True)
            cache.chmod(0o777)  # a hostPath must be writable for the pods' user
        return made

    def _watch(self) -> None:
        """Delete the group when a container has ended."""
        while not self._stop.wait(TICK):
            if all(kubelet.container.running() for kubelet in self.kubelets):
                continue
            if self.deleted_at is None:
                failed = next(one.container.pod.name for one in self.kubelets if not one.container.running())
                time.sleep(NOTICED)
                now, leader = time.monotonic(), self.spec.pods[0].name
                said = f"Worker pod {failed} failed, deleted leader pod {leader} to recreate group 0"
                self.events.append(Event("RecreateGroup", said, now, now))
                self.delete()
            return

    def delete(self) -> None:
        """Delete all pods, as LeaderWorkerSet and ``kubectl delete`` do, and wait until they are gone."""
        self.deleted_at = self.deleted_at or time.monotonic()
        in_parallel(*(kubelet.stop for kubelet in self.kubelets))

    def delete_soon(self, role: str) -> None:
        """Delete one pod; LeaderWorkerSet deletes the others when it has seen that."""

        def delete() -> None:
            threading.Thread(target=self.pod(role).stop, daemon=True).start()
            time.sleep(SEEN)
            self.delete()

        self.deleted_at = time.monotonic()
        threading.Thread(target=delete, daemon=True).start()

    def health(self) -> int | None:
        """Return the status of the leader's /health, None when it does not answer."""
        try:
            return status_of(self.sandboxes[0], self.spec.port, "/health", HEALTH)
        except (OSError, http.client.HTTPException):
            return None

    @property
    def containers(self) -> list[Container]:
        """All containers of the pods, in the order in which they started."""
        return [*self.initial, *(kubelet.container for kubelet in self.kubelets)]

    @property
    def ready(self) -> bool:
        """Whether all pods are ready."""
        return all(kubelet.ready is not None for kubelet in self.kubelets)

    @property
    def running(self) -> bool:
        """Whether a container of the group runs."""
        return any(kubelet.container.running() for kubelet in self.kubelets)

    @property
    def whole(self) -> bool:
        """Whether all containers of the group run."""
        return all(kubelet.container.running() for kubelet in self.kubelets)

    def pod(self, role: str) -> Kubelet:
        """Return the pod of a role.

        Raises:
            KeyError: there is none.
        """
        for kubelet in self.kubelets:
            if kubelet.container.pod.role == role:
                return kubelet
        raise KeyError(f"no {role} in {self.spec.name}")

    def test(self, seconds: float) -> tuple[int, str]:
        """Run the container of ``helm test`` beside the leader; return its exit status and output.

        Raises:
            ValueError: the group has no test, or the Service has another port than the pods.
            TimeoutError: it takes too long.
        """
        pod = self.spec.test
        if not pod:
            raise ValueError(f"{self.spec.name} has no test")
        ports = {service["port"] for service in self.spec.content["services"].values() if service["port"]}
        if ports != {self.spec.port}:
            raise ValueError(f"Services with the ports {sorted(ports)} need a proxy: give them the port of the pods")
        container = self.container(pod, self.sandboxes[0])
        container.start()
        until = time.monotonic() + seconds
        while container.running():
            if time.monotonic() > until:
                container.kill()
                raise TimeoutError(f"helm test: no end after {seconds:.0f} s")
            time.sleep(TICK)
        assert container.ended
        return container.ended.status, "\n".join(text for _, text in container.log.lines)

    def end_clients(self) -> None:
        """End what is left of the clients."""
        kill_all(self.clients)
        self.clients.clear()

    def destroy(self) -> None:
        """End everything at once."""
        if hasattr(self, "_stop"):
            self._stop.set()
        self.end_clients()
        for kubelet in self.kubelets:
            kubelet.end()
        for container in self.initial:
            container.kill()
        if self.slowness and self.slowness.process:
            kill_all([self.slowness.process])
        for sandbox in self.sandboxes:
            sandbox.end()
        for container in self.containers:
            container.remove()
