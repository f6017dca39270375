"""The Prometheus operator's kinds on a real API server: without them an install fails in words, else it keeps all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from kit import simulated
from kit.cluster import Object, get
from kit.extensions import present_definitions
from kit.progress import step
from kit.release import Release
from kit.render import render
from kit.subset import lost_paths
from localcluster.monitoring import kinds

pytestmark = pytest.mark.cluster
VALUES = {
    "model": {"name": "deepseek-ai/DeepSeek-R1"},
    "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}, "dashboard": {"enabled": True}},
    **simulated.VALUES,
}
CRD = "customresourcedefinition"


def definitions() -> list[Object]:
    """Return the kinds' definitions."""
    return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in kinds()]


@pytest.fixture
def without_kinds() -> None:
    """Skip on a cluster that has the operator."""
    if any(get(CRD, item["metadata"]["name"]) for item in definitions()):
        pytest.skip("the cluster has the Prometheus operator's kinds")


@pytest.fixture
def with_kinds() -> Iterator[None]:
    """Have the kinds, and take away again what was not there."""
    with present_definitions(definitions()):
        yield


@pytest.mark.usefixtures("without_kinds")
def test_install_names_the_missing_kind_when_the_cluster_has_none(release: Release) -> None:
    done = release.install(values=VALUES, check=False)
    assert done.code != 0
    assert 'no matches for kind "PodMonitor" in version "monitoring.coreos.com/v1"' in done.stderr


@pytest.mark.usefixtures("with_kinds")
def test_api_server_keeps_every_field_of_what_watches_a_release(release: Release) -> None:
    with step("install with a PodMonitor, alerts and a dashboard"):
        release.install(values=VALUES)
    for document in render(VALUES, namespace=release.namespace):
        if document["kind"] in ("PodMonitor", "PrometheusRule", "ConfigMap"):
            kept = get(document["kind"].lower(), document["metadata"]["name"], release.namespace)
            assert kept
            assert list(lost_paths(document, kept)) == []
