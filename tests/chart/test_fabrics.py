"""Each fabric.profile against what its vendor's documents require of a pod. Every case names its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from kit.paths import CHART
from kit.render import Manifests, render

MODEL = {"model": {"name": "deepseek-ai/DeepSeek-R1"}}
ROLES = ("leader", "worker")
GOOGLE = "GoogleCloudPlatform/container-engine-accelerators"
TCPXO_DEVICES = [f"/dev/nvidia{number}" for number in range(8)]
TCPXO_DEVICES += ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/dmabuf_import_helper"]


@dataclass(frozen=True)
class Profile:
    """Values of ``fabric``, and what the vendor requires of the pods of both roles.

    Attributes:
        source: where the vendor says so.
        values: of ``fabric``.
        env: of vLLM's container.
        limits: limits of vLLM's container other than GPUs.
        capabilities: that vLLM's container gets.
        root: whether it runs as root.
        mounts: path in the container -> directory of the node.
    """

    source: str
    values: Mapping[str, Any]
    env: Mapping[str, str]
    limits: Mapping[str, Any] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    root: bool = True
    mounts: Mapping[str, str] = field(default_factory=dict)


PROFILES = {
    "tcp": Profile("nothing is asked", {}, {}, root=False),
    "infiniband": Profile(
        "Mellanox/k8s-rdma-shared-dev-plugin, README.md: resource and IPC_LOCK; NCCL's guide: NCCL_NET",
        {"resourceName": "rdma/hca_shared_devices_a"},
        {"NCCL_NET": "IB"},
        {"rdma/hca_shared_devices_a": 1},
        ("IPC_LOCK",),
    ),
    "roce": Profile(
        "Mellanox/network-operator, example/: resource and IPC_LOCK; NCCL's guide: NCCL_NET, NCCL_IB_GID_INDEX",
        {"resourceName": "rdma/roce", "resourceCount": 8, "gidIndex": 3},
        {"NCCL_NET": "IB", "NCCL_IB_GID_INDEX": "3"},
        {"rdma/roce": 8},
        ("IPC_LOCK",),
    ),
    "efa": Profile(
        "aws-samples/awsome-distributed-training, micro-benchmarks/nccl-tests/kubernetes/nccl-tests.yaml: resources, "
        "FI_PROVIDER; aws/aws-ofi-nccl, src/nccl_ofi_interface_nvidia.cpp: the name, which every version takes",
        {"resourceCount": 32},
        {"NCCL_NET": "AWS Libfabric", "FI_PROVIDER": "efa", "MULTINODE_INTERFACE": "auto"},
        {"vpc.amazonaws.com/efa": 32, "hugepages-2Mi": "5120Mi"},
        ("IPC_LOCK",),
    ),
    "gpudirect-tcpxo": Profile(
        f"{GOOGLE}, gpudirect-tcpxo/nccl-test-unprivileged-without-hostnetwork.yaml",
        {"networks": [f"vpc{number}" for number in range(1, 9)]},
        {
            "NCCL_NET": "FasTrak",
            "NCCL_FASTRAK_LLCM_DEVICE_DIRECTORY": "/dev/aperture_devices",
            "NCCL_LIB_DIR": "/usr/local/nvidia/lib64",
            "MULTINODE_NCCL_SCRIPT": "/usr/local/nvidia/lib64/nccl-env-profile.sh",
            "MULTINODE_LIBRARIES": "/usr/local/nvidia/lib64",
        },
        mounts={
            "/usr/local/nvidia/lib64": "/home/kubernetes/bin/nvidia/lib64",
            "/dev/aperture_devices": "/dev/aperture_devices",
        },
    ),
    "gib": Profile(
        f"{GOOGLE}, gpudirect-rdma/nccl-test.yaml; AI-Hypercomputer/gpu-recipes, a4x/…/lws-launcher.yaml: libraries",
        {"networks": [f"rdma-{number}" for number in range(8)]},
        {
            "NCCL_NET": "gIB",
            "MULTINODE_NCCL_SCRIPT": "/usr/local/gib/scripts/set_nccl_env.sh",
            "MULTINODE_LIBRARIES": "/usr/local/gib/lib64:/usr/local/nvidia/lib64",
        },
        capabilities=("IPC_LOCK",),
        mounts={"/usr/local/nvidia": "/home/kubernetes/bin/nvidia", "/usr/local/gib": "/home/kubernetes/bin/gib"},
    ),
    "mnnvl": Profile(
        "NVIDIA/k8s-dra-driver-gpu, tests/e2e/data/computedomain-1.yaml; NCCL's guide: NCCL_MNNVL_ENABLE 1 fails",
        {},
        {"NCCL_MNNVL_ENABLE": "1", "NCCL_CUMEM_ENABLE": "1", "MULTINODE_INTERFACE": "auto"},
        root=False,
    ),
}
every_profile = pytest.mark.parametrize("name", PROFILES)


def rendered(name: str, **more: Any) -> Manifests:
    """Return what the chart renders with a profile."""
    return render({**MODEL, "fabric": {"profile": name, **PROFILES[name].values, **more}})


def container(manifests: Manifests, role: str) -> dict[str, Any]:
    found: dict[str, Any] = manifests.templates()[role]["spec"]["containers"][0]
    return found


def test_every_profile_of_the_chart_has_a_case() -> None:
    assert set(PROFILES) == set(yaml.safe_load((CHART / "files" / "fabrics.yaml").read_text(encoding="utf-8")))


@every_profile
@pytest.mark.parametrize("role", ROLES)
def test_pod_has_what_the_vendor_requires(name: str, role: str) -> None:
    asked, own = PROFILES[name], container(rendered(name), role)
    env = {item["name"]: item.get("value") for item in own["env"]}
    assert {key: env.get(key) for key in asked.env} == asked.env
    assert own["resources"]["limits"] == {"nvidia.com/gpu": 8, **asked.limits}
    assert own["resources"]["requests"].items() >= own["resources"]["limits"].items()
    added = own["securityContext"]["capabilities"].get("add", [])
    assert (tuple(added), own["securityContext"]["capabilities"]["drop"]) == (asked.capabilities, ["ALL"])
    context = rendered(name).templates()[role]["spec"]["securityContext"]
    assert (context["runAsUser"], context["runAsNonRoot"]) == ((0, False) if asked.root else (2000, True))


@every_profile
def test_pod_mounts_only_the_folders_that_the_vendor_names(name: str) -> None:
    manifests = rendered(name)
    spec = manifests.templates()["leader"]["spec"]
    folders = {item["name"]: item["hostPath"]["path"] for item in spec["volumes"] if "hostPath" in item}
    mounts = container(manifests, "leader")["volumeMounts"]
    there = {item["mountPath"]: folders[item["name"]] for item in mounts if item["name"] in folders}
    assert there == PROFILES[name].mounts
    assert all(
        item.get("readOnly") or item["mountPath"].startswith("/dev/") for item in mounts if item["name"] in folders
    )


@every_profile
def test_only_tcp_can_use_sockets(name: str) -> None:
    env = {item["name"] for item in container(rendered(name), "leader")["env"]}
    assert bool(env & {"NCCL_NET", "NCCL_MNNVL_ENABLE"}) is (name != "tcp")


def test_daemon_of_tcpxo_starts_before_vllm_and_may_configure_the_network() -> None:
    template = rendered("gpudirect-tcpxo").templates()["worker"]
    daemon = template["spec"]["initContainers"][0]
    assert (daemon["name"], daemon["restartPolicy"]) == ("tcpxo-daemon", "Always")
    assert daemon["securityContext"]["capabilities"]["add"] == ["NET_ADMIN", "NET_BIND_SERVICE"]
    assert (
        "/fts/entrypoint_rxdm_container.sh --num_hops=2 --num_nics=8 --uid= --alsologtostderr" in daemon["command"][2]
    )
    assert {item["mountPath"] for item in daemon["volumeMounts"]} == {
        "/usr/local/nvidia/lib64",
        "/hostsysfs",
        "/hostprocsysfs",
    }
    devices = yaml.safe_load(template["metadata"]["annotations"]["devices.gke.io/container.tcpxo-daemon"])
    assert [item["path"] for item in devices] == TCPXO_DEVICES


def test_image_of_the_daemon_can_be_given_by_digest() -> None:
    digest = f"sha256:{'0' * 64}"
    manifests = rendered("gpudirect-tcpxo", daemonImage={"repository": "registry.example/rxdm", "digest": digest})
    daemon = manifests.templates()["leader"]["spec"]["initContainers"][0]
    assert daemon["image"] == f"registry.example/rxdm@{digest}"


@pytest.mark.parametrize(("name", "first"), [("gpudirect-tcpxo", 1), ("gib", 2)])
def test_googles_networks_get_the_interfaces_of_its_manifests(name: str, first: int) -> None:
    annotations = rendered(name).templates()["leader"]["metadata"]["annotations"]
    assert annotations["networking.gke.io/default-interface"] == "eth0"
    found = {
        item["interfaceName"]: item["network"] for item in yaml.safe_load(annotations["networking.gke.io/interfaces"])
    }
    networks = PROFILES[name].values["networks"]
    assert found == {"eth0": "default"} | {f"eth{first + index}": network for index, network in enumerate(networks)}


def test_multus_networks_are_attached_and_the_interface_is_detected() -> None:
    manifests = rendered("roce", networks=["rdma-0", "net/rdma-1@net7"])
    for role in ROLES:
        annotations = manifests.templates()[role]["metadata"]["annotations"]
        assert annotations["k8s.v1.cni.cncf.io/networks"] == "rdma-0,net/rdma-1@net7"
        assert container(manifests, role)["command"] == ["/bin/bash", "/etc/vllm-multinode/fabric.sh"]
    assert "fabric.sh" in manifests.one("ConfigMap", "vllm-scripts")["data"]


def test_group_of_mnnvl_has_channels_of_one_compute_domain_in_one_nvlink_domain() -> None:
    manifests = rendered("mnnvl")
    domain = manifests.one("ComputeDomain")
    assert domain["apiVersion"] == "resource.nvidia.com/v1beta1"
    name = domain["spec"]["channel"]["resourceClaimTemplate"]["name"]
    for role in ROLES:
        spec = manifests.templates()[role]["spec"]
        assert spec["resourceClaims"] == [{"name": "channel", "resourceClaimTemplateName": name}]
        assert spec["containers"][0]["resources"]["claims"] == [{"name": "channel"}]
        near = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
        assert near["topologyKey"] == "nvidia.com/gpu.clique"
        assert near["matchLabelKeys"] == ["leaderworkerset.sigs.k8s.io/group-index"]


def test_compute_domain_does_not_change_with_the_number_of_groups() -> None:
    fabric = {"profile": "mnnvl"}
    domains = [
        render({**MODEL, "fabric": fabric, "group": {"replicas": count}}).one("ComputeDomain") for count in (1, 2, None)
    ]
    assert domains[0] == domains[1] == domains[2], "its specification can't be changed"


def test_existing_claim_template_replaces_the_compute_domain() -> None:
    manifests = rendered("mnnvl", claimTemplate="rack-1")
    assert manifests.all("ComputeDomain") == []
    claims = manifests.templates()["leader"]["spec"]["resourceClaims"]
    assert claims == [{"name": "channel", "resourceClaimTemplateName": "rack-1"}]


@pytest.mark.parametrize("name", ["tcp", "infiniband"])
def test_pods_of_tcp_and_rdma_profiles_start_without_the_fabric_script(name: str) -> None:
    manifests = rendered(name)
    assert container(manifests, "leader")["command"] == ["/bin/bash", "/etc/vllm-multinode/entrypoint.sh"]
    assert "fabric.sh" not in manifests.one("ConfigMap", "vllm-scripts")["data"]


def test_users_variables_take_precedence_over_a_profiles() -> None:
    manifests = render({**MODEL, "fabric": {"profile": "efa"}, "engine": {"env": {"NCCL_NET": "Socket"}}})
    env = {item["name"]: item.get("value") for item in container(manifests, "leader")["env"]}
    assert env["NCCL_NET"] == "Socket"


@pytest.mark.parametrize(
    ("fabric", "nodes", "streams"),
    [
        ({}, 2, "8"),
        ({"tcpStreams": 32}, 2, "32"),
        ({"tcpStreams": None}, 2, ""),
        ({}, 1, ""),
        ({"profile": "efa"}, 2, ""),
    ],
    ids=["default", "more", "NCCL's own", "one node", "another fabric"],
)
def test_nccl_opens_several_connections_only_over_tcp_between_nodes(
    fabric: dict[str, Any], nodes: int, streams: str
) -> None:
    manifests = render({**MODEL, "fabric": fabric, "group": {"nodes": nodes}})
    env = {item["name"]: item.get("value") for item in container(manifests, "leader")["env"]}
    threads, each = env.get("NCCL_SOCKET_NTHREADS"), env.get("NCCL_NSOCKS_PERTHREAD")
    assert (str(int(threads) * int(each)) if threads and each else "") == streams
