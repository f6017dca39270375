"""What is done to a group that serves. Each ends at once, or leaves something that ``undo`` takes away again."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from faults.styles import Style
from kit import nodeprocesses
from kit.cluster import Object, kubectl
from kit.progress import say
from localcluster import cluster

LEADER, WORKER = "vllm-0", "vllm-0-1"
SERVER, CORE, RANK = "/usr/local/bin/vllm serve", "VLLM::EngineCore", "VLLM::Worker"
"""Words in the command lines of vLLM's processes."""
PASSING = ("sleep ", "timeout ", "worker-probe.sh")
"""Words of processes that live for seconds only."""
DRAIN_LIMIT = 600
"""Seconds: a drain may wait until another group has started."""
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def pod(style: Style, name: str) -> Object:
    """Return a pod that is there."""
    found = style.pod(name)
    assert found, f"no pod {name}: {style.describe()}"
    return found


def kill_server(name: str) -> Callable[[Style], None]:
    """Kill vllm's first process in a pod: with the chart PID 1 sees it end, in the guide it is PID 1 or its child."""

    def inject(style: Style) -> None:
        nodeprocesses.send(signal.SIGKILL, *nodeprocesses.named(pod(style, name), SERVER))

    return inject


def kill_rank(name: str) -> Callable[[Style], None]:
    """Kill only the process of a rank."""

    def inject(style: Style) -> None:
        ranks = nodeprocesses.named(pod(style, name), RANK)
        assert ranks, f"{name} has no rank: {nodeprocesses.of_pod(pod(style, name))}"
        nodeprocesses.send(signal.SIGKILL, *ranks)

    return inject


def kill_first(name: str, word: str) -> Callable[[Style], None]:
    """Kill the oldest process of a pod that has a word in its command line."""

    def inject(style: Style) -> None:
        found = nodeprocesses.named(pod(style, name), word)
        assert found, f"{name} has no {word}: {nodeprocesses.of_pod(pod(style, name))}"
        nodeprocesses.send(signal.SIGKILL, found[0])

    return inject


def freeze(name: str, *words: str) -> Callable[[Style], None]:
    """Stop processes of a pod by words of their command lines, so that they neither answer nor end."""

    def inject(style: Style) -> None:
        found = [number for word in words for number in nodeprocesses.named(pod(style, name), word)]
        assert found, f"{name} has no {words}: {nodeprocesses.of_pod(pod(style, name))}"
        nodeprocesses.send(signal.SIGSTOP, *found)

    return inject


def freeze_one_after_the_other(name: str, *but: str, seconds: float) -> Callable[[Style], None]:
    """Stop each process of a pod for a while, without those that have one of some words in their command lines."""

    def inject(style: Style) -> None:
        others = nodeprocesses.of_pod(pod(style, name))
        for number, command in others.items():
            if not any(word in command for word in (*but, *PASSING)):
                say(f"{name}: {number} ({command[:60]}) frozen for {seconds:.0f} s")
                with suppress(ProcessLookupError):
                    nodeprocesses.send(signal.SIGSTOP, number)
                    time.sleep(seconds)
                    nodeprocesses.send(signal.SIGCONT, number)

    return inject


def delete(name: str, *, force: bool = False) -> Callable[[Style], None]:
    """Delete a pod, as ``kubectl delete pod`` does, or at once and without its kubelet's word."""
    options = ["--force", "--grace-period=0"] if force else []

    def inject(style: Style) -> None:
        kubectl("delete", "pod", name, "--wait=false", *options, namespace=style.namespace)

    return inject


def evict(*names: str) -> Callable[[Style], None]:
    """Drain the nodes of some pods of the group at the same moment, as for maintenance."""

    def inject(style: Style) -> None:
        nodes = [pod(style, name)["spec"]["nodeName"] for name in names]
        selector = f"--pod-selector=leaderworkerset.sigs.k8s.io/name={style.name}"
        options = (selector, "--ignore-daemonsets", "--delete-emptydir-data", "--force")
        with ThreadPoolExecutor(len(nodes)) as pool:
            for done in [pool.submit(kubectl, "drain", node, *options, limit=DRAIN_LIMIT) for node in nodes]:
                done.result()

    return inject


@contextmanager
def without_kubelet(name: str) -> Iterator[None]:
    """Stop the kubelet of a real node for a while; its containers go on."""
    cluster.stop_kubelet(name)
    try:
        yield
    finally:
        cluster.start_kubelet(name)


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
