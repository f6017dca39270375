"""Renders a group: the chart with values files, or plain manifests, and the pods that LeaderWorkerSet makes of it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import yaml

from gpu.twopods.podspec import LABELS
from kit.paths import CHART
from kit.render import helm_template

RELEASE, NAMESPACE = "vllm", "default"
Object = dict[str, Any]


def render_chart(values: Sequence[Path], chart: Path | None = None) -> Object:
    """Return a group of the chart, as a file has it that ``run`` reads.

    Args:
        values: values files, of which later ones take precedence.
        chart: another chart, or a checkout with one.

    Raises:
        kit.render.HelmFailed: Helm refuses the values.
        ValueError: what it rendered has no group.
    """
    folder = chart or CHART
    if (inside := folder / "charts" / "vllm-multinode").is_dir():
        folder = inside
    options = [option for file in values for option in ("--values", str(file))]
    text = helm_template(folder, options, "{}", release=RELEASE, namespace=NAMESPACE, helm="helm")
    return group_of(_documents(text))


def render_manifests(file: Path, settings: Mapping[str, str]) -> Object:
    """Return a group of plain manifests, in which ``${NAME}`` stands for a setting.

    Raises:
        KeyError: a setting is missing.
        ValueError: the manifests contain no group.
    """
    return group_of(_documents(Template(file.read_text(encoding="utf-8")).substitute(settings)))


def write(group: Object, file: Path) -> None:
    """Write a group to a file."""
    file.write_text(json.dumps(group, indent=1) + "\n", encoding="utf-8")


def _documents(text: str) -> list[Object]:
    return [document for document in yaml.safe_load_all(text) if document]


def group_of(documents: Sequence[Object]) -> Object:
    """Return the group that manifests make.

    Raises:
        ValueError: they have no LeaderWorkerSet, or more than one, or a leader without a port.
    """
    groups = [document for document in documents if document["kind"] == "LeaderWorkerSet"]
    if len(groups) != 1:
        raise ValueError(f"{len(groups)} LeaderWorkerSets instead of one")
    pods = pods_of(groups[0])
    jobs = [document for document in documents if document["kind"] == "Job"]
    tests = [_test_pod(job) for job in jobs if job["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"]
    services = [document for document in documents if document["kind"] == "Service"]
    leader = pods[0]["spec"]["containers"][0]
    if not leader.get("ports"):
        raise ValueError("the leader's container has no port")
    return {
        "model": _model(leader),
        "port": leader["ports"][0]["containerPort"],
        "leaderworkerset": groups[0],
        "configMaps": {item["metadata"]["name"]: item["data"] for item in documents if item["kind"] == "ConfigMap"},
        "services": {item["metadata"]["name"]: {"port": _port(item), "object": item} for item in services},
        "pods": pods,
        "test": tests[0] if tests else None,
    }


def pods_of(group: Object) -> list[Object]:
    """Return the pods that LeaderWorkerSet 0.9 makes of a group, the leader first.

    It adds a host name, a subdomain, labels, annotations, and three variables before all others
    (pkg/utils/pod/pod_utils.go, pkg/webhooks/pod_webhook.go). ``tests/cluster/test_twopods_kubelet.py`` compares.
    """
    name, template = group["metadata"]["name"], group["spec"]["leaderWorkerTemplate"]
    size = template.get("size", 1)
    worker = template["workerTemplate"]
    leader = template.get("leaderTemplate", worker)
    templates = [leader, *[worker] * (size - 1)]
    return [_pod(name, size, index, copy.deepcopy(one)) for index, one in enumerate(templates)]


def _pod(name: str, size: int, index: int, template: Object) -> Object:
    leader = f"{name}-0"
    pod = f"{leader}-{index}" if index else leader
    own = {
        f"{LABELS}name": name,
        f"{LABELS}group-index": "0",
        f"{LABELS}worker-index": str(index),
        f"{LABELS}group-key": hashlib.sha1(f"{NAMESPACE}/{leader}".encode(), usedforsecurity=False).hexdigest(),
    }
    metadata = template.get("metadata") or {}
    annotations = {**metadata.get("annotations", {}), f"{LABELS}size": str(size)}
    if index:
        annotations[f"{LABELS}leader-name"] = leader
    labels = {**metadata.get("labels", {}), **own}
    spec = {**template["spec"], "hostname": pod, "subdomain": name}
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    if len(spec["containers"]) != 1 or sidecars:
        raise ValueError(f"{pod} has more containers than one")
    variables = {
        "LWS_LEADER_ADDRESS": f"{leader}.{name}.{NAMESPACE}",
        "LWS_GROUP_SIZE": str(size),
        "LWS_WORKER_INDEX": str(index),
    }
    for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        rest = [item for item in container.get("env", ()) if item["name"] not in variables]
        container["env"] = [*({"name": key, "value": value} for key, value in variables.items()), *rest]
    return {
        "metadata": {"name": pod, "namespace": NAMESPACE, "labels": labels, "annotations": annotations},
        "spec": spec,
    }


def _test_pod(job: Object) -> Object:
    template: Object = job["spec"]["template"]
    name = job["metadata"]["name"]
    return {"metadata": {**template["metadata"], "name": name, "namespace": NAMESPACE}, "spec": template["spec"]}


def _port(service: Object) -> int | None:
    """Return the port of a Service that sends to pods, None for one without an address."""
    if service["spec"].get("clusterIP") == "None":
        return None
    port: int = service["spec"]["ports"][0]["port"]
    return port


def _model(container: Object) -> str:
    """Return the name that clients use: of ``--served-model-name``, else the model's."""
    words = " ".join(_words(container)).split()
    for flag in ("--served-model-name", "--model", "serve"):
        if flag in words:
            return words[words.index(flag) + 1].strip("'\"")
    return str(container["args"][0])


def _words(container: Object) -> Iterable[str]:
    return [*container.get("command", ()), *container.get("args", ())]
