"""A release and a healthy cluster, which tests break: what ``vmn preflight`` would have read."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from kit.paths import CHECKOUT
from kit.render import render
from vmn.core.cluster.lws import CONTROLLER, CRD
from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Snapshot
from vmn.core.preflight.checks import results
from vmn.core.preflight.result import CheckResult

Object = dict[str, Any]
NAMESPACE = "default"
POLICIES = ["Default", "RecreateGroupOnPodRestart", "RecreateGroupAfterStart", "None"]


def node(name: str, **allocatable: str) -> Object:
    """Return a ready node with 8 H100."""
    offered = {"cpu": "128", "memory": "1500Gi", "ephemeral-storage": "2000Gi", "pods": "110", "nvidia.com/gpu": "8"}
    labels = {
        "kubernetes.io/hostname": name,
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "nvidia.com/cuda.driver-version.major": "580",
    }
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
        "status": {"allocatable": offered | allocatable, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def pod(where: str, gpus: str, namespace: str = "other", **labels: str) -> Object:
    """Return a running pod with GPUs."""
    container = {"resources": {"limits": {"nvidia.com/gpu": gpus}}}
    return {
        "metadata": {"name": f"on-{where}", "namespace": namespace, "labels": labels},
        "spec": {"nodeName": where, "containers": [container]},
        "status": {"phase": "Running"},
    }


def named(name: str, **more: Any) -> Object:
    """Return an object of the namespace."""
    return {"metadata": {"name": name, "namespace": NAMESPACE}, **more}


def crd(policies: list[str], **annotations: str) -> Object:
    """Return LeaderWorkerSet's CRD with some restart policies."""
    template = {"properties": {"restartPolicy": {"enum": policies}}}
    spec = {"properties": {"leaderWorkerTemplate": template}}
    schema = {"openAPIV3Schema": {"properties": {"spec": spec}}}
    return {
        "metadata": {"name": CRD, "annotations": annotations},
        "spec": {"versions": [{"name": "v1", "schema": schema}]},
    }


@cache
def rendered() -> tuple[Object, ...]:
    """Return the objects of DeepSeek R1."""
    return tuple(render(None, CHECKOUT / "values/deepseek-r1.yaml").documents)


class HealthyCluster:
    """A release and a healthy cluster, which tests change."""

    def __init__(self) -> None:
        """Start with DeepSeek R1 on two nodes, and three nodes."""
        self.objects = [copy.deepcopy(item) for item in rendered()]
        self.version = (1, 37)
        self.denied: dict[str, str] = {}
        self.kubelet: Object | None = {"topologyManagerPolicy": "restricted"}
        self.dry_runs = {"LeaderWorkerSet/vllm": "", "Pod/leader": "", "Pod/worker": ""}
        plurals = ("pods", "services", "resourcequotas", "limitranges", "networkpolicies", "storageclasses")
        more = ("persistentvolumeclaims", "runtimeclasses", "priorityclasses", "leaderworkersets", "configmaps")
        self.read: dict[str, list[Object]] = {plural: [] for plural in (*plurals, *more)} | {
            "nodes": [node(f"node-{index}") for index in range(3)],
            "namespaces": [named(NAMESPACE)],
            "customresourcedefinitions": [crd(POLICIES)],
            "deployments": [{**named(CONTROLLER), "status": {"availableReplicas": 1}}],
            "secrets": [named("hf-secret", data={"hf_api_token": "eA=="})],
        }

    @property
    def lws(self) -> Object:
        """The release's LeaderWorkerSet."""
        return next(item for item in self.objects if item["kind"] == "LeaderWorkerSet")

    @property
    def specs(self) -> list[Object]:
        """The pods of both roles."""
        template = self.lws["spec"]["leaderWorkerTemplate"]
        return [template[role]["spec"] for role in ("leaderTemplate", "workerTemplate")]

    @property
    def nodes(self) -> list[Object]:
        return self.read["nodes"]

    def say(self) -> list[CheckResult]:
        """Return what the checks find."""
        snapshot = Snapshot(self.version, self.read, self.denied, self.dry_runs, self.kubelet)
        return list(results(RenderedRelease("vllm", NAMESPACE, self.objects), snapshot))
