"""CustomResourceDefinitions of programs that a release may work with, as their makers publish them in Go modules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from localcluster.cache import built
from localcluster.programs import copy_source, module_key

MODULE = "crds"
SOURCES: Mapping[str, tuple[str, str]] = {
    "envoy-gateway": ("github.com/envoyproxy/gateway", "charts/gateway-helm/charts/crds/crds/generated"),
    "gateway-api": ("sigs.k8s.io/gateway-api", "config/crd/standard"),
    "inference-extension": ("sigs.k8s.io/gateway-api-inference-extension", "config/crd/bases"),
    "keda": ("github.com/kedacore/keda/v2", "config/crd/bases"),
}
"""Name -> Go module, and its directory with the definitions."""


def folder(name: str) -> Path:
    """Return a directory with definitions, by a name of ``SOURCES``.

    Raises:
        HostError: the Go module can't be fetched.
    """
    package, inside = SOURCES[name]
    key = f"{MODULE}-{name}-{module_key(MODULE)}"
    return built("sources", key, lambda out: copy_source(MODULE, package, inside, out / "crds")) / "crds"


def definitions(name: str) -> list[dict[str, Any]]:
    """Return definitions by a name of ``SOURCES``.

    Raises:
        HostError: the Go module can't be fetched.
    """
    texts = [file.read_text(encoding="utf-8") for file in sorted(folder(name).glob("*.yaml"))]
    documents = [document for text in texts for document in yaml.load_all(text, yaml.CSafeLoader)]
    return [document for document in documents if document and document["kind"] == "CustomResourceDefinition"]
