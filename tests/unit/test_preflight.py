"""The checks of ``vmn preflight``: what they must find, and that they find nothing on a healthy cluster."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from kit.paths import CHART
from unit.preflight_data.cluster import NAMESPACE, POLICIES, HealthyCluster, Object, crd, named, node, pod
from vmn.core.cluster.quantity import quantity
from vmn.core.preflight.result import CheckStatus
from vmn.core.values.yaml import parse_values

Change = Callable[["HealthyCluster"], None]
KEY = re.compile(r"\b((?:group|rollout|scheduling|networkPolicy|weights|image|resources)\.[a-zA-Z]+)")


def each_node(change: Callable[[Object], None], count: int = 2) -> Change:
    def apply(cluster: HealthyCluster) -> None:
        for item in cluster.nodes[:count]:
            change(item)

    return apply


def each_spec(**fields: Any) -> Change:
    def apply(cluster: HealthyCluster) -> None:
        for spec in cluster.specs:
            spec.update(copy.deepcopy(fields))

    return apply


def add(plural: str, *items: Object) -> Change:
    return lambda cluster: cluster.read.setdefault(plural, []).extend(items)


def both(*changes: Change) -> Change:
    def apply(cluster: HealthyCluster) -> None:
        for change in changes:
            change(cluster)

    return apply


def volume(**source: Any) -> Change:
    def apply(cluster: HealthyCluster) -> None:
        for spec in cluster.specs:
            spec["volumes"].append({"name": "more", **source})

    return apply


def label(**labels: str) -> Callable[[Object], None]:
    given = {key.replace("__", "/").replace("_", "."): value for key, value in labels.items()}
    return lambda item: item["metadata"]["labels"].update(given)


def allocate(**amounts: str) -> Callable[[Object], None]:
    given = {key.replace("_", "-"): value for key, value in amounts.items()}
    return lambda item: item["status"]["allocatable"].update(given)


def taint(item: Object) -> None:
    item["spec"]["taints"].append({"key": "dedicated", "value": "other", "effect": "NoSchedule"})


def claim(mode: str, phase: str) -> Object:
    return named("models", spec={"accessModes": [mode]}, status={"phase": phase})


ROX = claim("ReadOnlyMany", "Bound")


def made_claim() -> Object:
    return named("made", kind="PersistentVolumeClaim", spec={"accessModes": ["ReadWriteMany"]})


def download_job(**container: Any) -> Object:
    volumes = [{"name": "weights", "persistentVolumeClaim": {"claimName": "models"}}]
    spec = {"containers": [{"name": "weights", **container}], "volumes": volumes}
    return named("weights", kind="Job", spec={"template": {"spec": spec}})


def quota(**hard: str) -> Object:
    given = {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}
    return named("all", spec={"hard": given}, status={"hard": given, "used": {}})


MOUNT = volume(persistentVolumeClaim={"claimName": "models"})
FAULTS: Mapping[str, tuple[Change, str, CheckStatus, str]] = {
    "old server": (lambda cluster: setattr(cluster, "version", (1, 26)), "server", CheckStatus.FAIL, "Kubernetes 1.26"),
    "image volume on an old server": (
        both(volume(image={"reference": "x"}), lambda cluster: setattr(cluster, "version", (1, 34))),
        "server",
        CheckStatus.FAIL,
        "1.34 has no image volumes",
    ),
    "no LeaderWorkerSet": (
        lambda cluster: cluster.read["customresourcedefinitions"].clear(),
        "lws",
        CheckStatus.FAIL,
        "LeaderWorkerSet is not installed",
    ),
    "old LeaderWorkerSet": (
        lambda cluster: cluster.read.update(customresourcedefinitions=[crd(POLICIES[:2])]),
        "lws",
        CheckStatus.FAIL,
        "does not know restartPolicy RecreateGroupAfterStart",
    ),
    "CRD that goes with a release": (
        lambda cluster: cluster.read.update(
            customresourcedefinitions=[crd(POLICIES, **{"meta.helm.sh/release-name": "lws"})]
        ),
        "lws",
        CheckStatus.WARN,
        "`helm uninstall lws` would delete the CRD, and with it every LeaderWorkerSet",
    ),
    "controller down": (
        lambda cluster: cluster.read["deployments"][0]["status"].clear(),
        "lws-controller",
        CheckStatus.FAIL,
        "has no available pod",
    ),
    "webhook down": (
        lambda cluster: cluster.dry_runs.update({"LeaderWorkerSet/vllm": 'failed calling webhook "mlws.kb.io"'}),
        "lws-controller",
        CheckStatus.FAIL,
        "failed calling webhook",
    ),
    "no GPUs": (
        each_node(lambda item: item["status"]["allocatable"].pop("nvidia.com/gpu"), 3),
        "nodes",
        CheckStatus.FAIL,
        "no node has nvidia.com/gpu",
    ),
    "too few nodes": (
        lambda cluster: cluster.nodes.__delitem__(slice(1, 3)),
        "nodes",
        CheckStatus.FAIL,
        "room for 1 of 2 pods",
    ),
    "busy nodes": (
        add("pods", pod("node-0", "1"), pod("node-1", "8")),
        "nodes",
        CheckStatus.FAIL,
        "2 nodes have too little free nvidia.com/gpu",
    ),
    "tainted nodes": (each_node(taint), "nodes", CheckStatus.FAIL, "2 have taint dedicated=other:NoSchedule"),
    "cordoned nodes": (
        each_node(
            lambda item: item["spec"]["taints"].append(
                {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
            )
        ),
        "nodes",
        CheckStatus.FAIL,
        "2 are cordoned",
    ),
    "nodes that are ready and not yet open": (
        each_node(
            lambda item: item["spec"]["taints"].append({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})
        ),
        "nodes",
        CheckStatus.FAIL,
        "2 are not ready",
    ),
    "nodes that are not ready": (
        each_node(lambda item: item["status"]["conditions"][0].update(status="Unknown")),
        "nodes",
        CheckStatus.FAIL,
        "2 are not ready",
    ),
    "wrong label": (each_spec(nodeSelector={"pool": "h100"}), "nodes", CheckStatus.FAIL, "3 have no label pool=h100"),
    "too little memory": (each_node(allocate(memory="100Gi")), "nodes", CheckStatus.FAIL, "2 have too little memory"),
    "too little storage": (
        each_node(allocate(ephemeral_storage="600Gi")),
        "nodes",
        CheckStatus.FAIL,
        "2 have too little ephemeral-storage",
    ),
    "no room for a surge": (
        lambda cluster: cluster.lws["spec"]["rolloutStrategy"]["rollingUpdateConfiguration"].update(maxSurge=1),
        "spare-nodes",
        CheckStatus.WARN,
        "room for 3 of 4 pods during a rollout",
    ),
    "no topology label": (
        lambda cluster: (
            cluster.lws["metadata"]
            .setdefault("annotations", {})
            .update({"leaderworkerset.sigs.k8s.io/exclusive-topology": "rack"})
        ),
        "exclusive-topology",
        CheckStatus.FAIL,
        "3 nodes have no label rack",
    ),
    "one NUMA node": (
        lambda cluster: setattr(cluster, "kubelet", {"topologyManagerPolicy": "single-numa-node"}),
        "numa",
        CheckStatus.WARN,
        "refuses pods that span NUMA nodes",
    ),
    "mixed GPUs": (
        each_node(label(nvidia_com__gpu_product="NVIDIA-A100"), 1),
        "gpu-kind",
        CheckStatus.FAIL,
        "2 with NVIDIA-H100-80GB-HBM3, 1 with NVIDIA-A100",
    ),
    "old driver": (
        each_node(lambda item: item["metadata"]["labels"].update({"nvidia.com/cuda.driver-version.major": "550"}), 1),
        "driver",
        CheckStatus.FAIL,
        "node-0 has 550",
    ),
    "MIG": (
        each_node(label(nvidia_com__gpu_product="NVIDIA-H100-MIG-1g.10gb"), 3),
        "whole-gpus",
        CheckStatus.FAIL,
        "3 nodes have GPUs partitioned with MIG",
    ),
    "time-slicing": (
        each_node(label(nvidia_com__gpu_product="NVIDIA-H100-80GB-HBM3-SHARED"), 3),
        "whole-gpus",
        CheckStatus.WARN,
        "3 nodes share their GPUs",
    ),
    "pod security": (
        lambda cluster: cluster.dry_runs.update({"Pod/leader": 'violates PodSecurity "restricted:latest"'}),
        "admission",
        CheckStatus.FAIL,
        "refuses the leader pod: violates PodSecurity",
    ),
    "no namespace": (
        lambda cluster: cluster.read["namespaces"].clear(),
        "admission",
        CheckStatus.WARN,
        "namespace default does not exist yet",
    ),
    "pods that may not be tried": (
        lambda cluster: setattr(cluster, "dry_runs", {"LeaderWorkerSet/vllm": ""}),
        "admission",
        CheckStatus.WARN,
        "could not be tried",
    ),
    "quota": (
        add("resourcequotas", quota(requests_nvidia_com__gpu="8")),
        "quota",
        CheckStatus.FAIL,
        "has 8 of requests.nvidia.com/gpu left, but the pods request 16",
    ),
    "LimitRange": (
        add("limitranges", named("small", spec={"limits": [{"type": "Container", "max": {"memory": "64Gi"}}]})),
        "limit-range",
        CheckStatus.FAIL,
        "allows a container 64Gi of memory, but the leader requests 200Gi",
    ),
    "default deny without a policy of its own": (
        both(
            add("networkpolicies", named("deny", spec={"podSelector": {}, "policyTypes": ["Ingress"]})),
            lambda cluster: setattr(
                cluster, "objects", [item for item in cluster.objects if item["kind"] != "NetworkPolicy"]
            ),
        ),
        "network-policy",
        CheckStatus.FAIL,
        "deny denies the traffic of all pods",
    ),
    "mesh": (
        both(
            lambda cluster: cluster.read["namespaces"][0]["metadata"].update(labels={"istio-injection": "enabled"}),
            lambda cluster: cluster.lws["spec"]["leaderWorkerTemplate"]["workerTemplate"]["metadata"]["labels"].pop(
                "sidecar.istio.io/inject"
            ),
        ),
        "mesh",
        CheckStatus.FAIL,
        "istio-injection is set on namespace default",
    ),
    "no Secret, which pods do without": (
        lambda cluster: cluster.read["secrets"].clear(),
        "secrets",
        CheckStatus.WARN,
        "Secret hf-secret does not exist, and pods start without it",
    ),
    "no key": (
        lambda cluster: cluster.read["secrets"][0]["data"].clear(),
        "secrets",
        CheckStatus.WARN,
        "key hf_api_token of Secret hf-secret does not exist",
    ),
    "no pull Secret": (
        each_spec(imagePullSecrets=[{"name": "registry"}]),
        "secrets",
        CheckStatus.FAIL,
        "Secret registry does not exist, and pods can't start without it",
    ),
    "no claim": (MOUNT, "claims", CheckStatus.FAIL, "claim models does not exist"),
    "claim that is made without a class": (
        lambda cluster: cluster.objects.append(made_claim()),
        "claims",
        CheckStatus.FAIL,
        "a claim without a StorageClass, and the cluster has no default class",
    ),
    "download to a claim that is read-only": (
        both(MOUNT, lambda cluster: cluster.objects.append(download_job()), add("persistentvolumeclaims", ROX)),
        "claims",
        CheckStatus.FAIL,
        "claim models is ReadOnlyMany, but the download Job writes to it",
    ),
    "download without its Secret": (
        both(
            lambda cluster: cluster.objects.append(download_job(envFrom=[{"secretRef": {"name": "token"}}])),
            MOUNT,
            add("persistentvolumeclaims", claim("ReadWriteMany", "Bound")),
        ),
        "secrets",
        CheckStatus.FAIL,
        "Secret token does not exist",
    ),
    "claim of one node": (
        both(MOUNT, add("persistentvolumeclaims", claim("ReadWriteOnce", "Bound"))),
        "claims",
        CheckStatus.FAIL,
        "claim models is ReadWriteOnce, but 2 pods on several nodes mount it",
    ),
    "claim that waits": (
        both(MOUNT, add("persistentvolumeclaims", claim("ReadWriteMany", "Pending"))),
        "claims",
        CheckStatus.FAIL,
        "claim models is Pending",
    ),
    "no StorageClass": (
        volume(ephemeral={"volumeClaimTemplate": {"spec": {"storageClassName": "fast"}}}),
        "claims",
        CheckStatus.FAIL,
        "there is no StorageClass fast",
    ),
    "no RuntimeClass": (
        each_spec(runtimeClassName="nvidia"),
        "runtime-class",
        CheckStatus.FAIL,
        "nvidia does not exist",
    ),
    "no PriorityClass": (
        each_spec(priorityClassName="high"),
        "priority-class",
        CheckStatus.FAIL,
        "high does not exist",
    ),
    "no Multus": (
        lambda cluster: cluster.lws["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["metadata"]["annotations"].update(
            {"k8s.v1.cni.cncf.io/networks": "rdma-0"}
        ),
        "networks",
        CheckStatus.FAIL,
        "does not know NetworkAttachmentDefinitions",
    ),
    "name of another's Service": (add("services", named("vllm")), "names", CheckStatus.FAIL, "service vllm"),
    "no Kueue": (
        lambda cluster: cluster.lws["metadata"]["labels"].update({"kueue.x-k8s.io/queue-name": "gpus"}),
        "queue",
        CheckStatus.FAIL,
        "Kueue is not installed",
    ),
    "no PodMonitor": (
        lambda cluster: cluster.objects.append({"kind": "PodMonitor", **named("vllm")}),
        "monitoring",
        CheckStatus.FAIL,
        "does not know PodMonitor",
    ),
    "no permission": (
        both(
            lambda cluster: cluster.denied.update(nodes="Add to a ClusterRole: ..."),
            lambda cluster: cluster.read.__delitem__("nodes"),
        ),
        "permissions",
        CheckStatus.WARN,
        "you may not read nodes",
    ),
}


def test_healthy_cluster_has_nothing_to_say() -> None:
    assert [item for item in HealthyCluster().say() if item.status in (CheckStatus.WARN, CheckStatus.FAIL)] == []


def test_every_check_has_a_result_on_a_healthy_cluster() -> None:
    assert len({item.check for item in HealthyCluster().say()}) >= 20


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_and_comes_with_a_fix(fault: str) -> None:
    change, check, status, words = FAULTS[fault]
    cluster = HealthyCluster()
    change(cluster)
    found = [item for item in cluster.say() if item.check == check and item.status is status]
    assert found, cluster.say()
    assert words in found[0].text
    assert found[0].fix


@pytest.mark.parametrize("fault", [name for name, fault in FAULTS.items() if fault[1] not in ("server", "permissions")])
def test_fault_is_found_by_one_check_only(fault: str) -> None:
    change, check, *_ = FAULTS[fault]
    cluster = HealthyCluster()
    change(cluster)
    allowed = {check, "nodes", "spare-nodes", "secrets"} if check != "nodes" else {"nodes"}
    assert {item.check for item in cluster.say() if item.status is CheckStatus.FAIL} <= allowed


def test_nodes_that_have_the_image_are_counted() -> None:
    cluster = HealthyCluster()
    name = cluster.specs[0]["containers"][0]["image"]
    cluster.nodes[1]["status"]["images"] = [{"names": [f"docker.io/{name}", "other"]}]
    assert any(f"1 of 3 nodes have {name}" in item.text for item in cluster.say())


def test_missing_rights_fail_no_check() -> None:
    cluster = HealthyCluster()
    for plural in list(cluster.read):
        cluster.read.pop(plural)
        cluster.denied[plural] = "Add a rule."
    assert [item for item in cluster.say() if item.status is CheckStatus.FAIL] == []


def test_release_s_own_pods_are_room_for_its_upgrade() -> None:
    cluster = HealthyCluster()
    own = {"leaderworkerset.sigs.k8s.io/name": "vllm"}
    cluster.read["pods"] = [pod(f"node-{index}", "8", NAMESPACE, **own) for index in range(3)]
    assert [item for item in cluster.say() if item.status is CheckStatus.FAIL] == []


def test_release_s_own_objects_do_not_collide() -> None:
    cluster = HealthyCluster()
    service = named("vllm-leader")
    service["metadata"]["annotations"] = {"meta.helm.sh/release-name": "vllm"}
    headless = named("vllm")
    headless["metadata"]["ownerReferences"] = [{"kind": "LeaderWorkerSet", "name": "vllm"}]
    cluster.read["services"] = [service, headless]
    assert [item for item in cluster.say() if item.status is CheckStatus.FAIL] == []


def test_each_pod_of_a_group_needs_its_own_node() -> None:
    cluster = HealthyCluster()
    cluster.read["nodes"] = [node("large", **{"nvidia.com/gpu": "16"})]
    assert any("room for 1 of 2 pods" in item.text for item in cluster.say())


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8", "8"),
        ("500m", "0.5"),
        ("200Gi", str(200 * 2**30)),
        ("1e3", "1000"),
        ("1.5k", "1500"),
        ("100M", "100000000"),
    ],
)
def test_quantity_is_read(text: str, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "8 Gi", "Gi", "1ki", "0x10"])
def test_text_that_is_not_a_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Kubernetes quantity"):
        quantity(text)


def test_values_that_fixes_name_exist() -> None:
    defaults = parse_values((CHART / "values.yaml").read_text(encoding="utf-8"))
    named_keys = set()
    for change, *_ in FAULTS.values():
        cluster = HealthyCluster()
        change(cluster)
        named_keys |= {key for item in cluster.say() for key in KEY.findall(item.fix)}
    assert len(named_keys) >= 5
    for key in named_keys:
        section, name = key.split(".")
        assert name in dict(defaults[section]), key  # type: ignore[call-overload]
