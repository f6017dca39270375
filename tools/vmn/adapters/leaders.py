"""A running release and its leaders, as much as a benchmark needs of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmn.adapters.cluster import Read, gather
from vmn.adapters.programs import MissingError
from vmn.core.bench.served import NotServed, Served, served
from vmn.core.cluster.lws import API
from vmn.core.cluster.release import INSTANCE, Pod, own_pods
from vmn.core.cluster.snapshot import Object, labels_of

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

PRODUCT = "nvidia.com/gpu.product"
"""Label of a node by GPU feature discovery: its kind of GPU."""
PROGRAM = Path(__file__).resolve().parent.parent / "bench_pod/__main__.py"


@dataclass(frozen=True)
class Leaders:
    """A running release.

    Attributes:
        served: what it serves.
        metrics: addresses of the counters of the API servers that are ready.
        product: kind of GPU of their nodes, empty if the nodes do not tell.
        lws: its LeaderWorkerSet.
        pods: its pods that are ready and have an API server.
    """

    served: Served
    metrics: tuple[str, ...]
    product: str
    lws: Object
    pods: tuple[Pod, ...]

    @property
    def helm_name(self) -> str:
        """Name of the release, from which that of its LeaderWorkerSet can differ."""
        return labels_of(self.lws).get(INSTANCE, self.served.release)


def bench_program() -> str:
    """Return the program that runs in the pod."""
    return PROGRAM.read_text(encoding="utf-8")


def read_leaders(client: ApiClient, namespace: str, name: str) -> Leaders:
    """Return a running release.

    Args:
        client: client of the cluster.
        namespace: its namespace.
        name: name of the release, or of its LeaderWorkerSet.

    Raises:
        MissingError: the API server can't be reached, the release does not exist, or no leader is ready.
    """
    snapshot = gather(
        client,
        [
            Read("leaderworkersets", API, namespace),
            Read("services", "v1", namespace),
            Read("pods", "v1", namespace),
            Read("nodes", "v1"),
        ],
    )
    sets = snapshot.all("leaderworkersets")
    lws = next((item for item in sets if name in (item["metadata"]["name"], labels_of(item).get(INSTANCE))), None)
    if lws is None:
        raise MissingError(f"Release {name} does not exist in namespace {namespace}.")
    try:
        found = served(lws, snapshot.all("services"))
    except NotServed as error:
        raise MissingError(str(error)) from error
    ready = [pod for pod in own_pods(snapshot, found.release) if pod.server_ports and pod.ready]
    if not any(pod.index == 0 for pod in ready):
        raise MissingError(f"No leader of {name} is ready. Run `vmn doctor {name}` to see why.")
    metrics = tuple(
        f"http://{_host(pod.status['podIP'])}:{port}/metrics"
        for pod in ready
        for port in pod.server_ports
        if pod.status.get("podIP")
    )
    nodes = [snapshot.named("nodes", pod.node) for pod in ready if pod.node]
    products = {labels_of(node).get(PRODUCT, "") for node in nodes if node}
    return Leaders(found, metrics, products.pop() if len(products) == 1 else "", lws, tuple(ready))


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
