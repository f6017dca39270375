"""Complaints of kube-score about rendered objects, with the project's exceptions."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from kit.paths import CHECKOUT
from localcluster.programs import program

EXCEPTIONS = CHECKOUT / ".ci" / "kube-score.yaml"
LIMIT = 60
"""Limit in seconds. A run takes less than one."""
WORST = 5
"""Grades up to this are warnings (5) and critical (1); kube-score's own exit status counts the critical ones."""
UNKNOWN = ("ComputeDomain",)


def exceptions() -> Mapping[str, str]:
    """Return the checks to leave out, each with its reason."""
    found: dict[str, str] = yaml.safe_load(EXCEPTIONS.read_text(encoding="utf-8"))
    return found


def complaints(documents: Iterable[Mapping[str, Any]], left_out: Iterable[str] = ()) -> set[tuple[str, str]]:
    """Return object and check of every complaint."""
    text = yaml.safe_dump_all([item for document in documents for item in known(document)])
    command = [str(program("kube-score")), "score", "--kubernetes-version", "v1.36", "--output-format", "json"]
    command += [word for name in left_out for word in ("--ignore-test", name)]
    done = subprocess.run([*command, "-"], input=text, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.stdout, done.stderr
    return {
        (item["object_name"], check["check"]["id"])
        for item in json.loads(done.stdout)
        for check in item["checks"]
        if not check["skipped"] and check["grade"] <= WORST
    }


def known(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return an object in kinds that kube-score knows. A LeaderWorkerSet becomes two StatefulSets."""
    if document["kind"] in UNKNOWN:
        return []
    if document["kind"] != "LeaderWorkerSet":
        return [document]
    return [_stateful_set(document, role, index) for index, role in enumerate(("leader", "worker"))]


def _stateful_set(document: Mapping[str, Any], role: str, index: int) -> Mapping[str, Any]:
    name = document["metadata"]["name"]
    template = copy.deepcopy(document["spec"]["leaderWorkerTemplate"][f"{role}Template"])
    labels = template["metadata"]["labels"]
    labels |= {"leaderworkerset.sigs.k8s.io/name": name, "leaderworkerset.sigs.k8s.io/worker-index": str(index)}
    spec = {"serviceName": name, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": f"{name}-{role}", "namespace": document["metadata"]["namespace"]}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}
