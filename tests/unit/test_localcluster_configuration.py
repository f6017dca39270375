"""What the local cluster tells its programs: addresses, configuration files and manifests."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from localcluster import addons, controlplane, network, node, simulated
from localcluster.node import FIRST, Node, numbered


@pytest.mark.parametrize(
    ("routes", "taken"),
    [
        (["default", "192.0.2.0/24", "172.17.0.0/16"], []),
        (["default", "198.18.0.0/15"], ["198.18.0.0/15"]),
        (["10.244.1.0/24", "10.0.0.0/8", "10.245.0.0/16"], ["10.244.1.0/24", "10.0.0.0/8"]),
        (["198.18.0.7"], ["198.18.0.7"]),
    ],
)
def test_routes_that_the_cluster_would_hide_are_found(routes: list[str], taken: list[str]) -> None:
    assert network.taken_ranges(routes) == taken


def test_nodes_share_no_address() -> None:
    nodes = numbered(9)
    assert len({network.node_address(real.index) for real in nodes} | {network.HOST_ADDRESS}) == 10
    assert len({network.pod_range(real.index) for real in nodes}) == 9


def test_interface_name_is_one_that_the_kernel_takes() -> None:
    assert len(network.HOST_INTERFACE) <= 15


def test_containerd_configuration_is_toml_with_the_local_sandbox_image() -> None:
    read = tomllib.loads(node.containerd_configuration("pause:1", Path("/programs"), Path("/cni")))
    assert read["version"] == 3
    assert read["plugins"]["io.containerd.cri.v1.images"]["pinned_images"] == {"sandbox": "pause:1"}
    runtime = read["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["cni"] == {"bin_dirs": ["/programs"], "conf_dir": "/cni"}
    assert runtime["restrict_oom_score_adj"] is True
    assert read["plugins"]["io.containerd.nri.v1.nri"] == {"disable": True}, "its socket would be shared by the nodes"


def test_kubelets_never_collect_images_and_keep_pods_under_the_cluster_s_groups() -> None:
    read = node.kubelet_configuration(Node(2), Path("/resolv.conf"), Path("/ca.crt"))
    assert read["imageGCHighThresholdPercent"] == 100
    assert read["cgroupRoot"] == "/vllm-multinode/node-2"
    assert read["cgroupsPerQOS"] is True, "else the kubelet ignores cgroupRoot"
    assert read["authentication"]["anonymous"] == {"enabled": False}


def test_pod_network_uses_the_node_s_own_range() -> None:
    bridge = node.cni_configuration(FIRST)["plugins"][0]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]


def test_kwok_leaves_real_nodes_alone() -> None:
    patches = {patch["name"]: patch["extraArgs"] for patch in controlplane.configuration(6443)["componentsPatches"]}
    kwok = {entry["key"]: entry for entry in patches["kwok-controller"]}
    assert kwok["manage-all-nodes"] == {"key": "manage-all-nodes", "value": "false", "override": True}
    assert kwok["manage-nodes-with-annotation-selector"]["value"] == "kwok.x-k8s.io/node=fake"


def test_flags_that_kwokctl_ignores_are_found() -> None:
    wanted = controlplane.configuration(6443)
    components = [
        {"name": patch["name"], "args": [f"--{entry['key']}={entry['value']}" for entry in patch["extraArgs"]]}
        for patch in wanted["componentsPatches"]
    ]
    assert controlplane.ignored_flags(wanted, {"components": components}) == []
    scheduler = next(item for item in components if item["name"] == "kube-scheduler")
    scheduler["args"] = []
    assert controlplane.ignored_flags(wanted, {"components": components}) == ["kube-scheduler --leader-elect=false"]


def test_only_the_api_server_listens_beyond_this_machine() -> None:
    read = controlplane.configuration(6443)
    assert read["options"]["bindAddress"] == "127.0.0.1"
    bound = [
        (patch["name"], entry["value"])
        for patch in read["componentsPatches"]
        for entry in patch["extraArgs"]
        if entry["key"] == "bind-address"
    ]
    assert bound == [("kube-apiserver", "0.0.0.0")]


def test_nodes_dial_the_bridge() -> None:
    config: dict[str, Any] = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:32766", "x": 1}}],
    }
    assert controlplane.for_nodes(config) == {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://198.18.0.1:32766", "x": 1}}],
    }


def test_simulated_nodes_repel_pods_that_don_t_ask_for_them() -> None:
    third = simulated.manifest(3)
    assert third["metadata"]["name"] == "h100-3"
    assert third["spec"]["taints"] == [{"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}]
    assert third["metadata"]["annotations"] == {"kwok.x-k8s.io/node": "fake"}
    assert third["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"


@pytest.mark.parametrize("image", addons.IMAGES, ids=lambda image: image.name)
def test_images_name_no_registry(image: addons.Image) -> None:
    owner, _, rest = image.reference.partition("/")
    assert owner == "vllm-multinode"
    assert rest.count(":") == 1 and not rest.endswith(":")


def test_addons_stay_on_the_first_node() -> None:
    deployment = next(item for item in addons.dns_manifests() if item["kind"] == "Deployment")
    assert deployment["spec"]["template"]["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "node-1"}


def test_dns_service_has_the_address_that_kubelets_give_to_pods() -> None:
    service = next(item for item in addons.dns_manifests() if item["kind"] == "Service")
    read = node.kubelet_configuration(FIRST, Path("/resolv.conf"), Path("/ca.crt"))
    assert [service["spec"]["clusterIP"]] == read["clusterDNS"]
