"""``vmn preflight`` on a real API server: silent where a release will start, and right where it will not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from kit import lwscontroller, simulated
from kit.apiserver import own_api_server
from kit.cluster import LWS, Object, create, kubectl, present
from kit.extensions import present_definitions
from kit.paths import CHECKOUT
from localcluster.programs import chart_of
from vmn.cli import main
from vmn.core.values.yaml import merged

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.usefixtures("simulated_nodes")]
only_here = pytest.mark.skipif(
    not simulated.is_local_cluster(),
    reason="takes a controller away that others may need",
)
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def thing(kind: str, version: str = "v1", name: str = "vmn-test", **more: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **more}


FAULTS: Mapping[str, tuple[Mapping[str, Any], list[Object], str, str]] = {
    # name: (values, objects in the namespace, the check that fails, what it says)
    "taint": ({"scheduling": {"tolerations": []}}, [], "nodes", "taint kwok.x-k8s.io/node=fake:NoSchedule"),
    "label": ({"scheduling": {"nodeSelector": {"pool": "none"}}}, [], "nodes", "no label pool=none"),
    "too few nodes": ({"group": {"replicas": 50}}, [], "nodes", "of 100 pods (50 x 2)"),
    "memory": ({"resources": {"requests": {"memory": "9000Gi"}}}, [], "nodes", "too little memory"),
    "quota": (
        {},
        [thing("ResourceQuota", spec={"hard": {"requests.nvidia.com/gpu": "8"}})],
        "quota",
        "has 8 of requests.nvidia.com/gpu left, but the pods request 16",
    ),
    "LimitRange": (
        {},
        [thing("LimitRange", spec={"limits": [{"type": "Container", "max": {"memory": "64Gi"}}]})],
        "limit-range",
        "allows a container 64Gi of memory",
    ),
    "claim of one node": (
        {"weights": {"volume": {"type": "persistentVolumeClaim", "claimName": "vmn-test"}}},
        [thing("PersistentVolumeClaim", spec=CLAIM)],
        "claims",
        "claim vmn-test is ReadWriteOnce, but 2 pods on several nodes mount it",
    ),
    "no claim": (
        {"weights": {"volume": {"type": "persistentVolumeClaim", "claimName": "none"}}},
        [],
        "claims",
        "claim none does not exist",
    ),
    "PriorityClass": ({"scheduling": {"priorityClassName": "none"}}, [], "priority-class", "none does not exist"),
    "RuntimeClass": ({"scheduling": {"runtimeClassName": "none"}}, [], "runtime-class", "none does not exist"),
    "name": ({}, [thing("Service", name="vllm", spec={"ports": [{"port": 80}]})], "names", "service vllm"),
    "default deny": (
        {"networkPolicy": {"enabled": False}},
        [thing("NetworkPolicy", "networking.k8s.io/v1", spec={"podSelector": {}, "policyTypes": ["Ingress"]})],
        "network-policy",
        "vmn-test denies the traffic of all pods",
    ),
    "Secret without the key": (
        {"auth": {"huggingFace": {"existingSecret": "vmn-test", "optional": False}}},
        [thing("Secret", stringData={"another": "x"})],
        "secrets",
        "vmn-test",
    ),
    "ephemeral storage": (
        {"weights": {"volume": {"size": "90Ti"}}},
        [],
        "nodes",
        "too little ephemeral-storage",
    ),
    "GPU resource": ({"group": {"gpuResource": "amd.com/gpu"}}, [], "nodes", "no node has amd.com/gpu"),
    "RDMA resource": (
        {"fabric": {"profile": "infiniband", "resourceName": "rdma/none"}},
        [],
        "nodes",
        "too little rdma/none",
    ),
    "pull Secret": ({"image": {"pullSecrets": ["none"]}}, [], "secrets", "Secret none does not exist"),
}


def preflight(folder: Path, namespace: str, values: Mapping[str, Any], *options: str) -> tuple[int, list[Object]]:
    """Return the exit status and the findings for DeepSeek R1 on simulated nodes."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(merged(simulated.VALUES, values)), encoding="utf-8")
    files = ["--values", str(PRESET), "--values", str(file)]
    done = CliRunner().invoke(main, ["preflight", *files, "--namespace", namespace, "-o", "json", *options])
    assert done.exit_code in (0, 1), done.output
    found: list[Object] = json.loads(done.stdout)["findings"]
    return done.exit_code, found


def test_preflight_fails_nothing_where_the_release_will_start(namespace: str, tmp_path: Path) -> None:
    status, found = preflight(tmp_path, namespace, {})
    assert [item for item in found if item["status"] == "FAIL"] == []
    assert {item["check"] for item in found if item["status"] == "WARN"} <= {"secrets"}
    assert status == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_preflight_names_what_keeps_the_release_from_starting(fault: str, namespace: str, tmp_path: Path) -> None:
    values, documents, check, words = FAULTS[fault]
    with present(documents, namespace):
        status, found = preflight(tmp_path, namespace, values)
    failed = {item["check"]: item for item in found if item["status"] == "FAIL"}
    assert status == 1
    assert check in failed, found
    assert words in failed[check]["text"]
    assert failed[check]["fix"]


def test_preflight_sees_that_pod_security_forbids_the_pods(namespace: str, tmp_path: Path) -> None:
    level = "pod-security.kubernetes.io/enforce"
    kubectl("label", "namespace", namespace, f"{level}=restricted")
    try:
        values = {"security": {"podSecurityContext": {"runAsNonRoot": False}}}
        status, found = preflight(tmp_path, namespace, values)
        refused = [item for item in found if item["check"] == "admission"]
        assert status == 1
        assert "violates PodSecurity" in refused[0]["text"]
    finally:
        kubectl("label", "namespace", namespace, f"{level}-")


LABELS: Mapping[str, tuple[str, str, str]] = {
    # name: (label of every simulated node, the check that fails, what it says)
    "MIG": ("nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", "whole-gpus", "GPUs partitioned with MIG"),
    "old driver": ("nvidia.com/cuda.driver-version.major=550", "driver", "have a driver older than 580"),
}


@pytest.mark.parametrize("fault", LABELS)
def test_preflight_reads_what_the_gpus_labels_say(fault: str, namespace: str, tmp_path: Path) -> None:
    label, check, words = LABELS[fault]
    with simulated.labelled(label, [node["metadata"]["name"] for node in simulated.nodes()]):
        status, found = preflight(tmp_path, namespace, {})
    assert status == 1
    assert words in failures(found)[check]["text"]


def test_preflight_sees_gpus_of_several_kinds(namespace: str, tmp_path: Path) -> None:
    with simulated.labelled("nvidia.com/gpu.product=NVIDIA-A100-SXM4-80GB", [simulated.nodes()[0]["metadata"]["name"]]):
        status, found = preflight(tmp_path, namespace, {})
    assert status == 1
    assert "GPUs of different kinds" in failures(found)["gpu-kind"]["text"]


def test_preflight_sees_cordoned_nodes(namespace: str, tmp_path: Path) -> None:
    names = [node["metadata"]["name"] for node in simulated.nodes()]
    kubectl("cordon", *names)
    try:
        status, found = preflight(tmp_path, namespace, {})
    finally:
        kubectl("uncordon", *names)
    assert status == 1
    assert "cordoned" in failures(found)["nodes"]["text"]


def failures(found: Sequence[Object]) -> dict[str, Object]:
    """Return the findings that fail, by check."""
    return {item["check"]: item for item in found if item["status"] == "FAIL"}


@only_here
def test_preflight_sees_that_the_controller_is_down(namespace: str, tmp_path: Path) -> None:
    with lwscontroller.away():
        status, found = preflight(tmp_path, namespace, {})
    assert status == 1
    assert "has no available pod" in failures(found)["lws-controller"]["text"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the kubeconfig of an API server of this module's own, with nodes for the release."""
    with own_api_server(tmp_path_factory.mktemp("own"), nodes=4) as config:
        yield config


@pytest.mark.parametrize(
    ("age", "words"),
    [("0.8", "does not know restartPolicy RecreateGroupAfterStart"), ("none", "LeaderWorkerSet is not installed")],
)
def test_preflight_sees_an_old_and_a_missing_leaderworkerset(
    age: str, words: str, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(own))
    with present_definitions([crd_before_0_9()] if age == "0.8" else []):
        status, found = preflight(tmp_path, "default", {})
    assert status == 1
    assert words in failures(found)["lws"]["text"]


def crd_before_0_9() -> Object:
    """Return LeaderWorkerSet's definition without the restart policy that came with 0.9."""
    folder = chart_of("lws") / "charts" / "lws" / "crds"
    found = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in folder.glob("*.yaml")]
    (old,) = (crd for crd in found if crd["metadata"]["name"] == LWS)
    template = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    policy = template["leaderWorkerTemplate"]["properties"]["restartPolicy"]
    policy["enum"] = [value for value in policy["enum"] if value != "RecreateGroupAfterStart"]
    return dict(old)


def as_nobody(namespace: str, folder: Path) -> Path:
    """Return a kubeconfig of a ServiceAccount without any rights."""
    create(thing("ServiceAccount"), namespace)
    token = kubectl("create", "token", "vmn-test", namespace=namespace).stdout.strip()
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "--output=json").stdout)
    config["users"] = [{"name": "limited", "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = "limited"
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


def test_preflight_names_the_rules_that_a_user_without_rights_lacks(namespace: str, tmp_path: Path) -> None:
    file = as_nobody(namespace, tmp_path)
    status, found = preflight(tmp_path, namespace, {}, "--kubeconfig", str(file))
    denied = [item for item in found if item["check"] == "permissions"]
    rules = {item["text"].removeprefix("you may not read ").split(",")[0]: item["fix"] for item in denied}
    assert [item for item in found if item["status"] == "FAIL"] == []
    assert status == 0
    assert rules["nodes"] == 'Add to a ClusterRole: {apiGroups: [""], resources: [nodes], verbs: [list]}.'
    assert rules["secrets"] == f'Add to a Role in {namespace}: {{apiGroups: [""], resources: [secrets], verbs: [get]}}.'


def test_preflight_of_two_hundred_nodes_takes_less_than_five_seconds(namespace: str, tmp_path: Path) -> None:
    with simulated.at_least(200):
        begin = time.monotonic()
        status, found = preflight(tmp_path, namespace, {"group": {"replicas": 90}})
        seconds = time.monotonic() - begin
    assert status == 0, [item for item in found if item["status"] == "FAIL"]
    assert seconds < 5
