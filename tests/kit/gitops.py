"""What Argo CD and Flux make of a LeaderWorkerSet, by their own code and with this project's examples."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from kit.cluster import Object
from kit.paths import CHECKOUT
from localcluster.programs import program

EXAMPLES = CHECKOUT / "examples" / "gitops"
LIMIT = 60
"""Seconds; a run takes less than one."""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True)
class Health:
    """What they say of one object.

    Attributes:
        argocd: Argo CD's status, such as ``Healthy``.
        message: Argo CD's message.
        kstatus: what Flux and ``helm --wait`` see without help, such as ``Current``.
        flux: what Flux sees with the example's expressions.
    """

    argocd: str
    message: str
    kstatus: str
    flux: str


def judge(objects: Sequence[Object], env: Mapping[str, str] | None = None) -> list[Health]:
    """Return what they say of each object.

    Args:
        objects: as the API server has them.
        env: the environment of Argo CD's runtime.

    Raises:
        AssertionError: an example can't be read.
    """
    argocd = _ask("argocd-health", {"data": example("argocd-cm.yaml", "ConfigMap")["data"]}, objects, env)
    checks = example("flux.yaml", "HelmRelease")["spec"]["healthCheckExprs"]
    flux = _ask("flux-health", {"healthCheckExprs": checks}, objects)
    return [
        Health(one.get("status", ""), one.get("message", ""), other["kstatus"], other["expressions"])
        for one, other in zip(argocd, flux, strict=True)
    ]


def example(file: str, kind: str) -> Object:
    """Return the only object of a kind in a file of examples."""
    documents = yaml.load_all((EXAMPLES / file).read_text(encoding="utf-8"), yaml.CSafeLoader)
    (found,) = [document for document in documents if document["kind"] == kind]
    return dict(found)


def _ask(
    name: str, rules: Mapping[str, Any], objects: Sequence[Object], env: Mapping[str, str] | None = None
) -> list[dict[str, str]]:
    done = subprocess.run(
        [program(name)],
        input=json.dumps({**rules, "objects": list(objects)}),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        env=env,
    )
    assert not done.returncode, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def aged(document: Object, seen: str, seconds: float = 0) -> Object:
    """Return an object with its times moved, as if it had been seen some seconds ago and had not changed since.

    Args:
        document: the object.
        seen: when it was recorded, in Kubernetes' form.
        seconds: how long ago that is to be.
    """
    by = datetime.now(UTC) - timedelta(seconds=seconds) - _time(seen)
    text = TIME.sub(lambda found: _written(_time(found.group()) + by), json.dumps(document))
    moved: Object = json.loads(text)
    return moved


def now() -> str:
    """Return the time in Kubernetes' form."""
    return _written(datetime.now(UTC))


def recorded(document: Object) -> dict[str, Any]:
    """Return what of a LeaderWorkerSet a recording keeps: its health depends on nothing else of its metadata."""
    kept = {key: document["metadata"].get(key) for key in ("generation", "creationTimestamp")}
    return {
        "seen": now(),
        "metadata": kept,
        "replicas": document["spec"].get("replicas"),
        "rollout": document["spec"]["rolloutStrategy"].get("rollingUpdateConfiguration"),
        "status": document.get("status"),
    }


def distinct(documents: Iterable[Object]) -> list[Object]:
    """Return objects without those that differ from the one before in nothing that health depends on."""
    found: list[Object] = []
    for document in documents:
        if not found or _facts(found[-1]) != _facts(document):
            found.append(document)
    return found


def _facts(document: Object) -> object:
    return document["metadata"]["generation"], document["spec"], document.get("status")


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _written(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
