"""What is done to a group that serves. Each ends at once, or leaves something that ``undo`` takes away again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from faults.styles import Style
from kit import nodeprocesses
from kit.cluster import Object, kubectl
from localcluster import cluster

LEADER, WORKER = "vllm-0", "vllm-0-1"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def pod(style: Style, name: str) -> Object:
    """Return a pod that is there."""
    found = style.pod(name)
    assert found, f"no pod {name}: {style.describe()}"
    return found


def kill_server(name: str) -> Callable[[Style], None]:
    """Kill vllm's first process in a pod: with the chart PID 1 sees it end, in the guide it is PID 1 or its child."""

    def inject(style: Style) -> None:
        nodeprocesses.send(signal.SIGKILL, *nodeprocesses.named(pod(style, name), "/usr/local/bin/vllm serve"))

    return inject


def kill_rank(name: str) -> Callable[[Style], None]:
    """Kill only the process of a rank."""

    def inject(style: Style) -> None:
        ranks = nodeprocesses.named(pod(style, name), "VLLM::Worker")
        assert ranks, f"{name} has no rank: {nodeprocesses.of_pod(pod(style, name))}"
        nodeprocesses.send(signal.SIGKILL, *ranks)

    return inject


def freeze(name: str) -> Callable[[Style], None]:
    """Stop all of vllm in a pod, so that it neither answers nor ends."""

    def inject(style: Style) -> None:
        of_vllm = nodeprocesses.named(pod(style, name), "vllm serve") + nodeprocesses.named(pod(style, name), "VLLM::")
        nodeprocesses.send(signal.SIGSTOP, *of_vllm)

    return inject


def delete(name: str, *, force: bool = False) -> Callable[[Style], None]:
    """Delete a pod, as ``kubectl delete pod`` does, or at once and without its kubelet's word."""
    options = ["--force", "--grace-period=0"] if force else []

    def inject(style: Style) -> None:
        kubectl("delete", "pod", name, "--wait=false", *options, namespace=style.namespace)

    return inject


def evict(name: str) -> Callable[[Style], None]:
    """Drain the pod's node of the group, as for maintenance."""

    def inject(style: Style) -> None:
        where = pod(style, name)["spec"]["nodeName"]
        selector = f"--pod-selector=leaderworkerset.sigs.k8s.io/name={style.name}"
        kubectl("drain", where, selector, "--ignore-daemonsets", "--delete-emptydir-data", "--force", limit=200)

    return inject


@contextmanager
def without_dns() -> Iterator[None]:
    """Take the cluster's DNS away for a while."""
    kubectl("scale", "deployment/coredns", "--replicas=0", namespace="kube-system")
    try:
        kubectl("wait", "--for=delete", "pod", "-l", "k8s-app=kube-dns", "--timeout=60s", namespace="kube-system")
        yield
    finally:
        kubectl("scale", "deployment/coredns", "--replicas=1", namespace="kube-system")
        kubectl("rollout", "status", "deployment/coredns", "--timeout=60s", namespace="kube-system")


@dataclass(frozen=True)
class LostNode:
    """A real node of the local cluster that loses its network, and a moment later all of its processes."""

    name: str

    def lose(self) -> None:
        """Pull its cable, then end all of its processes."""
        cluster.lose(self.name)

    def taint(self) -> None:
        """Say that it will not come back with its pods."""
        kubectl("taint", "node", self.name, f"{OUT_OF_SERVICE}=nodeshutdown:NoExecute", "--overwrite")

    def bring_back(self) -> None:
        """Start it again."""
        cluster.up(cluster.made_with())
        kubectl("taint", "node", self.name, f"{OUT_OF_SERVICE}-", check=False)
        kubectl("uncordon", self.name)


@dataclass(frozen=True)
class Fault:
    """What ends a process or a pod of a group.

    Attributes:
        inject: what is done.
        told: what ``vmn doctor`` must say of it, a pattern.
    """

    inject: Callable[[Style], None]
    told: str


def died(rank: int) -> str:
    """Return what the doctor says when vLLM of a pod has died: by the log that this pod left."""
    return rf"earlier-failure: past failure .*: vllm serve ended with exit status .*\.rank-{rank}\."


def was_deleted(name: str) -> str:
    """Return what the doctor says when somebody deleted a pod; of a worker LeaderWorkerSet says it at that moment."""
    return rf"deleted: {name} was deleted at|recreated: .*Worker pod {name} failed"


FAULTS: Mapping[str, Fault] = {
    "leader's server killed": Fault(kill_server(LEADER), died(0)),
    "worker's server killed": Fault(kill_server(WORKER), died(1)),
    "worker's rank killed": Fault(kill_rank(WORKER), died(1)),
    "leader deleted": Fault(delete(LEADER), was_deleted(LEADER)),
    "worker deleted": Fault(delete(WORKER), was_deleted(WORKER)),
    "leader force-deleted": Fault(delete(LEADER, force=True), was_deleted(LEADER)),
    "worker force-deleted": Fault(delete(WORKER, force=True), was_deleted(WORKER)),
}
