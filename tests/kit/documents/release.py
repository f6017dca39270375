"""The release that documents talk about: what it is called, and what there is once it is installed."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from kit.paths import CASES, CHECKOUT
from kit.render import Manifests, helm_template, render
from kit.schemas import LWS_CRD
from localcluster.programs import chart_of

RELEASE = "vllm"
MODEL = CHECKOUT / "values" / "deepseek-r1.yaml"
DOWNLOAD = CASES / "valid" / "download-to-a-claim.yaml"
WITH_KEY = {"auth": {"apiKey": {"existingSecret": "vllm-api-key"}}}
LWS_NAMESPACE = "lws-system"


@cache
def release() -> Manifests:
    """Return what is rendered for the release."""
    return render(WITH_KEY, MODEL, release=RELEASE)


def pods() -> dict[str, Any]:
    """Return the pods that LWS makes of the first group, each with its template."""
    lws, templates = release().one("LeaderWorkerSet"), release().templates()
    name, size = lws["metadata"]["name"], lws["spec"]["leaderWorkerTemplate"]["size"]
    workers = {f"{name}-0-{index}": templates["worker"] for index in range(1, size)}
    return {f"{name}-0": templates["leader"], **workers}


def pod_labels() -> dict[str, str]:
    """Return the labels by which documents may select all pods of the release."""
    labels: dict[str, str] = pods()[f"{RELEASE}-0"]["metadata"]["labels"]
    return {"leaderworkerset.sigs.k8s.io/name": RELEASE, **labels}


def job_labels() -> dict[str, str]:
    """Return the labels by which documents may select the pod and the Job of a download."""
    jobs = render(None, DOWNLOAD, release=RELEASE).all("Job")
    job = next(item for item in jobs if "-weights-" in item["metadata"]["name"])
    labels: dict[str, str] = job["spec"]["template"]["metadata"]["labels"]
    own: dict[str, str] = job["metadata"]["labels"]
    return {name: value for name, value in labels.items() if own.get(name) == value}


def secret_keys() -> set[tuple[str, str]]:
    """Return name and key of the Secrets that the pods read."""
    sources = [one.get("valueFrom", {}) for pod in pods().values() for one in pod["spec"]["containers"][0]["env"]]
    keys = [source["secretKeyRef"] for source in sources if "secretKeyRef" in source]
    return {(one["name"], one["key"]) for one in keys}


def names(kind: str) -> set[str]:
    """Return the names that objects of a kind have, once the release is there."""
    lws = str(release().one("LeaderWorkerSet")["metadata"]["name"])
    own = {
        "pod": set(pods()),
        "leaderworkerset": {lws},
        "statefulset": {lws, f"{lws}-0"},
        "secret": {name for name, _ in secret_keys()},
        "service": {lws} | {one["metadata"]["name"] for one in release().all("Service")},
        "networkpolicy": {one["metadata"]["name"] for one in release().all("NetworkPolicy")},
        "job": {one["metadata"]["name"] for one in release().all("Job")},
        "crd": {str(crd()["metadata"]["name"])},
    }
    assert kind in own, f"no rule says which {kind} there are"
    return own[kind]


def service_ports(name: str | None = None) -> set[int]:
    """Return the ports of a Service, or of all."""
    services = [release().one("Service", name)] if name else release().all("Service")
    return {port["port"] for service in services for port in service["spec"]["ports"]}


@cache
def crd() -> dict[str, Any]:
    """Return the LeaderWorkerSet's definition, of the version that is pinned."""
    text = (chart_of("lws") / "charts" / "lws" / "crds" / LWS_CRD).read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)
    return found


@cache
def lws_objects() -> set[str]:
    """Return what LWS itself consists of, as ``kind/name``."""
    chart = chart_of("lws") / "charts" / "lws"
    text = helm_template(chart, [], "{}", release="lws", namespace=LWS_NAMESPACE, helm="helm")
    documents = [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]
    return {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in documents}
