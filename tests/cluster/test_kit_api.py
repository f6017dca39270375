"""The kit's way to objects reads what kubectl reads."""

from __future__ import annotations

import json

import pytest

from kit.api import Refused, server
from kit.cluster import LWS, create, get, kubectl, objects

pytestmark = pytest.mark.cluster
GROUP = "leaderworkerset.x-k8s.io/v1"
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "labels": {"a": "b"}}}


def test_objects_are_those_of_kubectl(namespace: str) -> None:
    create({**CONFIG_MAP, "data": {"x": "1"}}, namespace)
    for kinds in ("configmaps,serviceaccounts", "ConfigMap", "cm", LWS):
        read = json.loads(kubectl("get", kinds, "--output=json", namespace=namespace).stdout)["items"]
        assert objects(kinds, namespace=namespace) == read
    assert [one["metadata"]["name"] for one in objects("configmaps", selector="a=b", namespace=namespace)] == ["one"]
    assert objects("configmaps", selector="a=c", namespace=namespace) == []
    assert get("configmap", "one", namespace) == json.loads(
        kubectl("get", "configmap", "one", "--output=json", namespace=namespace).stdout
    )
    assert get("configmap", "two", namespace) is None


@pytest.mark.parametrize("name", ["leaderworkerset", "LeaderWorkerSet", "lws", LWS])
def test_every_name_of_a_kind_is_known(name: str) -> None:
    assert server().kind(name).path("n", "vllm") == f"/apis/{GROUP}/namespaces/n/leaderworkersets/vllm"


def test_events_are_those_of_the_core_and_nodes_are_in_no_namespace() -> None:
    assert server().kind("events").path("n") == "/api/v1/namespaces/n/events"
    assert server().kind("node").path("n") == "/api/v1/nodes"


def test_what_the_server_refuses_is_told(namespace: str) -> None:
    with pytest.raises(Refused, match="does not serve nonsense"):
        objects("nonsense", namespace=namespace)
    with pytest.raises(Refused, match="field not declared in schema"):
        create({**CONFIG_MAP, "nonsense": 1}, namespace)
    with pytest.raises(Refused, match='namespaces "absent" not found'):
        create(CONFIG_MAP, "absent")
