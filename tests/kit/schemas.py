"""Validate rendered objects against the schemas of Kubernetes and of custom resources, offline and strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import kubernetes_validate
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import relevance
from referencing import Registry, Resource

from localcluster import crds
from localcluster.monitoring import kinds
from localcluster.programs import chart_of
from vmn.core.values.yaml import documents

KUBERNETES = "1.36"
"""Version of Kubernetes in the local cluster."""
LWS_CRD = "leaderworkerset.x-k8s.io_leaderworkersets.yaml"
UNCHECKED: Mapping[str, str] = {
    "resource.nvidia.com/v1beta1": "the DRA driver's resources are checked by the tests that look at them",
}
"""API groups without a schema here, with the reason why that is acceptable."""
MONITORING = "monitoring.coreos.com/v1"
PUBLISHED: Mapping[str, str] = {
    "gateway.envoyproxy.io/v1alpha1": "envoy-gateway",
    "gateway.networking.k8s.io/v1": "gateway-api",
    "inference.networking.k8s.io/v1": "inference-extension",
    "keda.sh/v1alpha1": "keda",
}
"""API groups whose definitions the local cluster gets from their projects, by their name there."""
POD_TEMPLATE = "io.k8s.api.core.v1.PodTemplateSpec"

Document = dict[str, Any]


_known: dict[str, list[str]] = {}


def object_errors(document: Document) -> list[str]:
    """Return the schema errors of an object, with its kind and name. Equal objects are validated once."""
    text = json.dumps(document, sort_keys=True)
    if text not in _known:
        _known[text] = _object_errors(document)
    return _known[text]


def _object_errors(document: Document) -> list[str]:
    kind, api = document.get("kind"), document.get("apiVersion")
    name = f"{kind}/{document.get('metadata', {}).get('name')}"
    if not isinstance(kind, str) or not isinstance(api, str):
        return [f"{name}: kind and apiVersion must be given"]
    if api in UNCHECKED:
        return []
    if api in PUBLISHED:
        return [f"{name}::{error}" for error in _errors(_published(kind, api), document)]
    if kind == "LeaderWorkerSet":
        return [f"{name}::{error}" for error in _leader_worker_set_errors(document)]
    if api == MONITORING:
        return [f"{name}::{error}" for error in _errors(_monitoring(kind), document)]
    try:
        validator = _builtin(kind, api)
    except FileNotFoundError:
        return [f"{name}: Kubernetes {KUBERNETES} has no {kind} in {api}"]
    return [f"{name}::{error}" for error in _errors(validator, document)]


def _leader_worker_set_errors(document: Document) -> Iterator[str]:
    yield from _errors(_crd(document["apiVersion"]), document)
    group = document.get("spec", {}).get("leaderWorkerTemplate", {})
    for role in ("leaderTemplate", "workerTemplate"):
        template = group.get(role) if isinstance(group, Mapping) else None
        if template is not None:
            prefix = f"$.spec.leaderWorkerTemplate.{role}"
            yield from (error.replace("$", prefix, 1) for error in _errors(_definition(POD_TEMPLATE), template))


def _errors(validator: Any, instance: object) -> Iterator[str]:
    for error in sorted(validator.iter_errors(instance), key=relevance):
        yield f"{error.json_path} {error.message[:300]}"


def _directory() -> str:
    versions = [version for version in kubernetes_validate.utils.all_versions() if version.startswith(f"{KUBERNETES}.")]
    return f"kubernetes-json-schema/v{versions[-1]}-local-strict"


@cache
def _registry() -> Registry[Any]:
    definitions = kubernetes_validate.utils.schema_contents(f"{_directory()}/_definitions.json", KUBERNETES)
    return Resource.from_contents(definitions) @ Registry()


@cache
def _builtin(kind: str, api: str) -> Any:
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api)
    schema = kubernetes_validate.utils.schema_contents(f"{_directory()}/{kind.lower()}-{group}.json", KUBERNETES)
    return Draft202012Validator(schema, registry=_registry())


@cache
def _definition(name: str) -> Any:
    definitions = next(iter(_registry()))
    return Draft202012Validator({"$ref": f"{definitions}#/$defs/{name}"}, registry=_registry())


@cache
def _crd(api: str) -> Any:
    text = (chart_of("lws") / "charts" / "lws" / "crds" / LWS_CRD).read_text(encoding="utf-8")
    (crd,) = documents(text)
    return _validator(crd, api)


@cache
def _published(kind: str, api: str) -> Any:
    crd = next(crd for crd in crds.definitions(PUBLISHED[api]) if crd["spec"]["names"]["kind"] == kind)
    return _validator(crd, api)


@cache
def _monitoring(kind: str) -> Any:
    (file,) = (file for file in kinds() if file.stem.endswith(f"_{kind.lower()}s"))
    (crd,) = documents(file.read_text(encoding="utf-8"))
    return _validator(crd, MONITORING)


def _validator(crd: Document, api: str) -> Any:
    """Return a closed validator of one version of a custom resource."""
    version = next(version for version in crd["spec"]["versions"] if api == f"{crd['spec']['group']}/{version['name']}")
    schema = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}  # every CRD leaves it to Kubernetes
    return Draft7Validator(schema)


def closed(schema: Any) -> Any:
    """Return an OpenAPI schema whose objects allow only the keys that they list."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {
        key: {name: closed(inner) for name, inner in value.items()} if key == "properties" else closed(value)
        for key, value in schema.items()
    }
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not is_open:
        result["additionalProperties"] = False
    return result
