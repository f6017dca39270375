"""Kinds of the Gateway API, the Inference Gateway and KEDA, as an API server with their real definitions takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from kit import simulated
from kit.cluster import Object, get, run
from kit.extensions import defined
from kit.paths import CHECKOUT
from kit.release import Release
from kit.subset import lost_paths

pytestmark = pytest.mark.cluster
OVERLAY = CHECKOUT / "values" / "deepseek-r1.yaml"
GATEWAY = {"httpRoute": {"parentRefs": [{"name": "public", "namespace": "gateways"}], "hostnames": ["a.example.com"]}}
PICKER = {**GATEWAY, "inferencePool": {"endpointPicker": "vllm-epp"}}
KEDA = {"type": "keda", "prometheus": {"url": "http://prometheus.monitoring:9090"}, "runningRequests": 64}


def with_values(**values: Any) -> dict[str, Any]:
    """Return values for simulated nodes with others on top."""
    return {**simulated.VALUES, **values}


def lost(release: Release, kind: str) -> list[str]:
    """Return what the API server did not keep of the release's only object of a kind."""
    manifest = run("helm", "get", "manifest", release.name, "--namespace", release.namespace).stdout
    found: list[Object] = [item for item in yaml.safe_load_all(manifest) if item and item["kind"] == kind]
    assert len(found) == 1
    return lost_paths(found[0], get(kind, found[0]["metadata"]["name"], release.namespace))


def test_route_to_the_service_is_kept_whole(release: Release) -> None:
    with defined("gateway-api", "HTTPRoute"):
        release.install(OVERLAY, values=with_values(routing=GATEWAY))
        assert lost(release, "HTTPRoute") == []
        release.uninstall()


def test_route_to_an_endpoint_picker_is_kept_whole(release: Release) -> None:
    with defined("gateway-api", "HTTPRoute"), defined("inference-extension", "InferencePool"):
        release.install(OVERLAY, values=with_values(routing=PICKER))
        assert lost(release, "HTTPRoute") == []
        assert lost(release, "InferencePool") == []
        release.uninstall()


def test_scaled_object_is_kept_whole(release: Release) -> None:
    with defined("keda", "ScaledObject"):
        release.install(OVERLAY, values=with_values(autoscaling=KEDA))
        assert lost(release, "ScaledObject") == []
        release.uninstall()


@pytest.mark.parametrize(
    ("values", "kind"),
    [({"routing": GATEWAY}, "HTTPRoute"), ({"autoscaling": KEDA}, "ScaledObject")],
    ids=["HTTPRoute", "ScaledObject"],
)
def test_helm_names_the_kind_that_the_cluster_lacks(release: Release, values: Mapping[str, Any], kind: str) -> None:
    plural = {"HTTPRoute": "httproutes.gateway.networking.k8s.io", "ScaledObject": "scaledobjects.keda.sh"}[kind]
    if get("customresourcedefinition", plural):
        pytest.skip(f"this cluster has {plural}")
    refused = release.install(OVERLAY, values=with_values(**values), check=False)
    assert refused.code != 0
    assert f'no matches for kind "{kind}"' in refused.stderr
