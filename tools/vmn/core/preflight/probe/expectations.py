"""What the pods of a release rely on, read from their template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmn.core.cluster.quantity import quantity
from vmn.core.cluster.rendered import RenderedRelease, plain_env
from vmn.core.cluster.snapshot import Object
from vmn.core.preflight.probe.bandwidth import BandwidthCheck

SHARED_MEMORY = "/dev/shm"
FLEETING = ("emptyDir", "ephemeral")
"""Kinds of volumes that are empty when a pod starts."""
NVIDIA = "nvidia.com/"
DOWNLOAD = "weights"
"""Name of the init container that downloads the weights, or waits for them."""


NOT_ASKED = "--bandwidth was not given"


@dataclass(frozen=True)
class Expectations:
    """What a probe checks.

    Attributes:
        nodes: number of pods of a group.
        port: the rendezvous port (``engine.masterPort``).
        interface: the interface for Gloo (``fabric.interface``), None to let it choose.
        shared_memory: bytes of /dev/shm (``sharedMemory.size``), None when nothing is mounted there.
        rdma: whether NCCL must use RDMA (``fabric.profile``).
        gid: ``fabric.gidIndex``.
        weights: directory of the checkpoint on a volume, None when it does not exist before a start.
        gpus: number of GPUs that a pod requests.
        resource: the resource name of the GPUs, None without GPUs.
        writable: directories that vLLM writes to.
        host_network: whether pods use the node's network.
        policies: number of NetworkPolicies that the release creates for its pods.
        bandwidth: what measures the bandwidth between the pods, None to leave that out.
        no_bandwidth: why it is left out.
    """

    nodes: int
    port: int
    interface: str | None
    shared_memory: int | None
    rdma: bool
    gid: int | None
    weights: str | None
    gpus: int
    resource: str | None
    writable: tuple[str, ...]
    host_network: bool
    policies: int
    bandwidth: BandwidthCheck | None = None
    no_bandwidth: str = NOT_ASKED

    @property
    def counts_gpus(self) -> bool:
        """Whether the GPUs can be counted in a pod."""
        return bool(self.resource and self.resource.startswith(NVIDIA))

    def settings(self, name: str, seconds: int) -> dict[str, Any]:
        """Return the settings of the probe's pods.

        Args:
            name: name of pod 0 in DNS.
            seconds: how long they may wait for each other.
        """
        return {
            "name": name,
            "limit": seconds,
            "nodes": self.nodes,
            "port": self.port,
            "weights": self.weights,
            "writable": list(self.writable),
            "gpus": self.counts_gpus,
            "rdma": self.rdma,
            "gid": self.gid,
            "bandwidth": self.bandwidth.settings if self.bandwidth else None,
        }


def expectations_of(release: RenderedRelease) -> Expectations:
    """Return what the pods of a release rely on; both roles have the same template."""
    spec = release.pods[0].spec
    container = spec["containers"][0]
    env = plain_env(container)
    gid = env.get("NCCL_IB_GID_INDEX", "")
    resource = release.gpu_resource
    gpus = resource if resource and "gpu" in resource.lower() else None
    return Expectations(
        nodes=release.size,
        port=int(env.get("MULTINODE_MASTER_PORT", 29501)),
        interface=env.get("GLOO_SOCKET_IFNAME"),
        shared_memory=_shared_memory(spec),
        rdma=env.get("NCCL_NET") == "IB",
        gid=int(gid) if gid.isdigit() else None,
        weights=_weights(spec),
        gpus=int(release.pods[0].requests[gpus]) if gpus else 0,
        resource=gpus,
        writable=tuple(env[name] for name in ("HOME", "HF_HOME") if name in env),
        host_network=bool(spec.get("hostNetwork")),
        policies=len(release.of_kind("NetworkPolicy")),
    )


def volume_at(spec: Object, path: str) -> Mapping[str, Any] | None:
    """Return the volume with a path of the first container, None for the image's own files."""
    mounts = spec["containers"][0].get("volumeMounts") or ()
    above = [item for item in mounts if f"{path}/".startswith(f"{item['mountPath'].rstrip('/')}/")]
    if not above:
        return None
    name = max(above, key=lambda item: len(item["mountPath"]))["name"]
    return next((item for item in spec.get("volumes") or () if item["name"] == name), None)


def _shared_memory(spec: Object) -> int | None:
    size = ((volume_at(spec, SHARED_MEMORY) or {}).get("emptyDir") or {}).get("sizeLimit")
    return int(quantity(size)) if size else None


def _weights(spec: Object) -> str | None:
    """Return vLLM's first argument if it is a path on a volume that is filled before a start."""
    path = str(next(iter(spec["containers"][0].get("args") or ()), ""))
    brought = any(item["name"] == DOWNLOAD for item in spec.get("initContainers") or ())
    if brought or not path.startswith("/"):
        return None
    volume = volume_at(spec, path) or {}
    return None if any(kind in volume for kind in FLEETING) else path
