"""Real nodes: a network and a mount namespace each, with their own containerd, kubelet and kube-proxy.

In its mount namespace, a node has its own ``/var/lib/kubelet``, ``/var/log/pods``, ``/run/containerd``, and so on, so
nothing there is visible, or has to be unmounted, outside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localcluster import network
from localcluster.cache import state_dir
from localcluster.controlplane import certificate_authority, node_kubeconfig
from localcluster.host import run
from localcluster.network import hold, inside
from localcluster.processes import CGROUP, log_of, make_groups, pid_of, spawn, wait_until
from localcluster.programs import bin_dir

GPUS = 8
"""GPUs that a node says to have; nothing is behind them."""

PRIVATE_FOLDERS: Mapping[str, str] = {
    "/var/lib/kubelet": "kubelet",
    "/var/lib/containerd": "containerd",
    "/var/lib/cni": "cni",
    "/var/log/pods": "pod-logs",
    "/var/log/containers": "container-logs",
}
"""Directory that a node has to itself -> the directory of its state that is mounted there."""

RUN_FOLDER = "/run/containerd"
"""Sockets and mounts of containerd, in memory, a node's own too."""

_SOCKET = f"{RUN_FOLDER}/containerd.sock"
_START_TIMEOUT_S = 30
_IMPORT_TIMEOUT_S = 300


@dataclass(frozen=True)
class Node:
    """A real node, by its number from 1."""

    index: int

    @property
    def name(self) -> str:
        """Name in the cluster, such as ``node-1``; also the daemon that holds its namespaces."""
        return f"node-{self.index}"

    @property
    def home(self) -> Path:
        """Directory of its state."""
        return state_dir() / "nodes" / self.name

    @property
    def daemons(self) -> Mapping[str, str]:
        """Program -> the daemon's name."""
        return {program: f"{self.name}-{program}" for program in ("containerd", "kubelet", "kube-proxy")}

    def enter(self, argv: Sequence[str | Path]) -> list[str | Path]:
        """Return ``argv`` with the words in front that run it on the node.

        Raises:
            HostError: the node doesn't run.
        """
        return [*inside(self.name, mount=True), *argv]


FEWEST = 2
"""Real nodes that every cluster has."""

FIRST = Node(1)
"""The node that stays: what all of the cluster needs runs there."""


def numbered(count: int) -> list[Node]:
    """Return the first ``count`` real nodes."""
    return [Node(index) for index in range(1, count + 1)]


def present() -> list[Node]:
    """Return the real nodes that the cluster of this machine was given."""
    numbers = [int(folder.name.removeprefix("node-")) for folder in (state_dir() / "nodes").glob("node-*")]
    return [Node(index) for index in sorted(numbers)]


def mount_points() -> list[Path]:
    """Return the directories that must exist on this machine for the nodes' own to be mounted over them."""
    return [Path(folder) for folder in (*PRIVATE_FOLDERS, RUN_FOLDER)]


def hold_namespaces(node: Node, pause: Path) -> None:
    """Make a node's namespaces and its own directories in them.

    Raises:
        HostError: a step fails.
    """
    hold(node.name, pause, "--net", "--mount", "--uts", "--propagation", "slave")
    for folder, own in PRIVATE_FOLDERS.items():
        mount(node, node.home / own, folder)
    run(node.enter(["mount", "-t", "tmpfs", "-o", "mode=0711", "containerd", RUN_FOLDER]))
    run(node.enter(["mount", "--make-rshared", "/"]))
    run(node.enter(["hostname", node.name]))


def mount(node: Node, source: Path, target: str, *, read_only: bool = False) -> None:
    """Mount a directory of this machine on a directory that only the node sees.

    Raises:
        HostError: it can't be mounted.
    """
    source.mkdir(parents=True, exist_ok=True)
    run(node.enter(["mount", "--bind", source, target]))
    if read_only:
        run(node.enter(["mount", "-o", "remount,bind,ro", target]))


def start_containerd(node: Node, sandbox_image: str) -> None:
    """Start a node's containerd, if it doesn't run, and wait until it answers.

    Args:
        node: a node with namespaces.
        sandbox_image: image of the process that holds a pod's namespaces.

    Raises:
        HostError: it doesn't answer; its log's end is in the message.
    """
    network_config = node.home / "cni.d" / "10-bridge.conflist"
    network_config.parent.mkdir(parents=True, exist_ok=True)
    network_config.write_text(json.dumps(cni_configuration(node)))
    settings = node.home / "containerd.toml"
    settings.write_text(containerd_configuration(sandbox_image, bin_dir(), network_config.parent))
    name = node.daemons["containerd"]
    _keep_running(name, node.enter(["containerd", "--config", settings]))
    wait_until(
        f"answer from {name}",
        lambda: bool(_ctr(node, ["version"])),
        timeout=_START_TIMEOUT_S,
        log=log_of(name),
    )


def import_image(node: Node, archive: Path) -> None:
    """Load an image from a docker-archive tar into a node's image store.

    Raises:
        HostError: containerd refuses it.
    """
    _ctr(node, ["--namespace", "k8s.io", "images", "import", archive])


def remove_image(node: Node, reference: str) -> None:
    """Take an image away from a node.

    Raises:
        HostError: containerd fails.
    """
    _ctr(node, ["--namespace", "k8s.io", "images", "remove", f"docker.io/{reference}"])


def start_kubelet(node: Node) -> None:
    """Start a node's kubelet and kube-proxy, if they don't run; they find the API server when it is there.

    Raises:
        HostError: the node's namespaces are gone.
    """
    settings = node.home / "kubelet.yaml"
    resolver = node.home / "resolv.conf"
    resolver.write_text(f"nameserver {network.HOST_ADDRESS}\n")
    make_groups(node.name)
    settings.write_text(yaml.safe_dump(kubelet_configuration(node, resolver, certificate_authority())))
    access = f"--kubeconfig={node_kubeconfig()}"
    name = f"--hostname-override={node.name}"
    kubelet = ["kubelet", f"--config={settings}", access, name, f"--node-ip={network.node_address(node.index)}"]
    _keep_running(node.daemons["kubelet"], node.enter(kubelet))
    proxy = ["kube-proxy", access, name, "--proxy-mode=nftables", f"--cluster-cidr={network.POD_RANGE}"]
    _keep_running(node.daemons["kube-proxy"], node.enter([*proxy, "--conntrack-max-per-core=0"]))


def running(node: Node) -> dict[str, bool]:
    """Return for each of a node's daemons whether it runs."""
    return {name: pid_of(name) is not None for name in (node.name, *node.daemons.values())}


def containerd_configuration(sandbox_image: str, programs: Path, network_dir: Path) -> str:
    """Return containerd's configuration file.

    Args:
        sandbox_image: image of the process that holds a pod's namespaces.
        programs: directory with the CNI plugins.
        network_dir: directory with the CNI configuration.
    """
    runtime = "io.containerd.cri.v1.runtime"
    return f"""version = 3
root = "/var/lib/containerd"
state = "{RUN_FOLDER}"
[grpc]
  address = "{_SOCKET}"
[plugins."io.containerd.nri.v1.nri"]
  disable = true # its socket in /run/nri would be shared by all nodes
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{sandbox_image}"
[plugins."{runtime}"]
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
[plugins."{runtime}".cni]
  bin_dirs = ["{programs}"]
  conf_dir = "{network_dir}"
[plugins."{runtime}".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."{runtime}".containerd.runtimes.runc.options]
  SystemdCgroup = false
"""


def cni_configuration(node: Node) -> dict[str, Any]:
    """Return the configuration of a node's pod network: a bridge with addresses out of the node's own range."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": network.pod_range(node.index)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet_configuration(node: Node, resolver: Path, authority: Path) -> dict[str, Any]:
    """Return a node's KubeletConfiguration.

    Args:
        node: the node.
        resolver: a resolv.conf that names no search domain.
        authority: certificate that signs the cluster's clients.
    """
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{_SOCKET}",
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(authority)}},
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [network.DNS_SERVICE],
        "clusterDomain": network.CLUSTER_DOMAIN,
        "resolvConf": str(resolver),
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        # Plain groups under the cluster's own, on control groups version 1 as well.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"{CGROUP}/{node.name}",
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        # Images come from no registry: one that the kubelet collects is gone for good.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }


def _keep_running(name: str, argv: Sequence[str | Path]) -> None:
    if pid_of(name) is None:
        spawn(name, argv, env={"PATH": f"{bin_dir()}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})


def _ctr(node: Node, arguments: Sequence[str | Path]) -> str:
    return run(
        node.enter([bin_dir() / "ctr", "--address", _SOCKET, *arguments]),
        timeout=_IMPORT_TIMEOUT_S,
    )
