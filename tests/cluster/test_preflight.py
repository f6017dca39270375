"""``vmn preflight`` on a real API server: silent where a release will start, and right where it will not."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from kit import simulated
from kit.cluster import Object, create, kubectl, present
from kit.paths import CHECKOUT
from vmn.cli import main
from vmn.core.values import merged

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("simulated_nodes")]
OVERLAY = CHECKOUT / "values" / "deepseek-r1.yaml"
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
        "has 8 of requests.nvidia.com/gpu left, and the pods ask for 16",
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
        "claim vmn-test is ReadWriteOnce, and 2 pods on several nodes mount it",
    ),
    "no claim": (
        {"weights": {"volume": {"type": "persistentVolumeClaim", "claimName": "none"}}},
        [],
        "claims",
        "there is no claim none",
    ),
    "PriorityClass": ({"scheduling": {"priorityClassName": "none"}}, [], "priority-class", "none does not exist"),
    "RuntimeClass": ({"scheduling": {"runtimeClassName": "none"}}, [], "runtime-class", "none does not exist"),
    "name": ({}, [thing("Service", name="vllm", spec={"ports": [{"port": 80}]})], "names", "service vllm"),
    "default deny": (
        {"networkPolicy": {"enabled": False}},
        [thing("NetworkPolicy", "networking.k8s.io/v1", spec={"podSelector": {}, "policyTypes": ["Ingress"]})],
        "network-policy",
        "vmn-test denies traffic of all pods",
    ),
    "pull Secret": ({"image": {"pullSecrets": ["none"]}}, [], "secrets", "Secret none is not there"),
}


def preflight(folder: Path, namespace: str, values: Mapping[str, Any], *options: str) -> tuple[int, list[Object]]:
    """Return the exit status and the findings for DeepSeek R1 on simulated nodes."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(merged(simulated.VALUES, values)), encoding="utf-8")
    files = ["--values", str(OVERLAY), "--values", str(file)]
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


def as_nobody(namespace: str, folder: Path) -> Path:
    """Return a kubeconfig of a ServiceAccount without any rights."""
    create(thing("ServiceAccount"), namespace)
    token = kubectl("create", "token", "vmn-test", namespace=namespace).stdout.strip()
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "--output=json").stdout)
    config["users"] = [{"name": "nobody", "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = "nobody"
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


def test_preflight_names_the_rules_that_a_user_without_rights_lacks(namespace: str, tmp_path: Path) -> None:
    file = as_nobody(namespace, tmp_path)
    status, found = preflight(tmp_path, namespace, {}, "--kubeconfig", str(file))
    rules = {item["text"].split()[0]: item["fix"] for item in found if item["check"] == "permissions"}
    assert [item for item in found if item["status"] == "FAIL"] == []
    assert status == 0
    assert rules["nodes"] == 'Add to a ClusterRole: {apiGroups: [""], resources: [nodes], verbs: [list]}.'
    assert rules["secrets"] == f'Add to a Role in {namespace}: {{apiGroups: [""], resources: [secrets], verbs: [get]}}.'


def test_preflight_of_two_hundred_nodes_takes_less_than_five_seconds(namespace: str, tmp_path: Path) -> None:
    with simulated.at_least(200) as lacking:
        if lacking:
            pytest.skip(lacking)
        begin = time.monotonic()
        status, found = preflight(tmp_path, namespace, {"group": {"replicas": 90}})
        seconds = time.monotonic() - begin
    assert status == 0, [item for item in found if item["status"] == "FAIL"]
    assert seconds < 5
