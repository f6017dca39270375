"""Kinds of other programs that the cluster lacks: an install fails in words. With them: see test_cases.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kit.cluster import get
from kit.paths import CHECKOUT
from kit.release import Release

pytestmark = [pytest.mark.cluster, pytest.mark.alone]
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"
GATEWAY = {"httpRoute": {"parentRefs": [{"name": "public", "namespace": "gateways"}], "hostnames": ["a.example.com"]}}
KEDA = {"type": "keda", "prometheus": {"url": "http://prometheus.monitoring:9090"}, "runningRequests": 64}


@pytest.mark.parametrize(
    ("values", "kind", "version"),
    [
        ({"routing": GATEWAY}, "HTTPRoute", "gateway.networking.k8s.io/v1"),
        ({"autoscaling": KEDA}, "ScaledObject", "keda.sh/v1alpha1"),
        ({"monitoring": {"podMonitor": {"enabled": True}}}, "PodMonitor", "monitoring.coreos.com/v1"),
    ],
    ids=["HTTPRoute", "ScaledObject", "PodMonitor"],
)
def test_helm_names_the_kind_that_the_cluster_lacks(
    release: Release, values: Mapping[str, Any], kind: str, version: str
) -> None:
    definition = f"{kind.lower()}s.{version.partition('/')[0]}"
    if get("customresourcedefinition", definition):
        pytest.skip(f"this cluster has {definition}")
    refused = release.install(PRESET, values=values, check=False)
    assert refused.code != 0
    assert f'no matches for kind "{kind}" in version "{version}"' in refused.stderr
