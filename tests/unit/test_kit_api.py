"""The kit's way to objects, with answers of an API server that are made up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from kit.api import Refused, Server
from vmn.adapters import cluster
from vmn.adapters.cluster import Answer

PODS = {"name": "pods", "kind": "Pod", "namespaced": True, "shortNames": ["po"]}
SETS = {"name": "leaderworkersets", "kind": "LeaderWorkerSet", "namespaced": True}
GROUP = "leaderworkerset.x-k8s.io"


def group(name: str, *versions: str) -> dict[str, Any]:
    served = [{"groupVersion": f"{name}/{version}"} for version in versions]
    return {"name": name, "versions": served, "preferredVersion": served[0]}


ANSWERS = {
    "/apis": Answer(200, {"groups": [group("metrics.k8s.io", "v1beta1"), group(GROUP, "v1", "v1alpha1")]}),
    "/api/v1": Answer(200, {"resources": [PODS, {**PODS, "name": "pods/log"}]}),
    "/apis/metrics.k8s.io/v1beta1": Answer(503, {"message": "service unavailable"}),
    f"/apis/{GROUP}/v1": Answer(200, {"resources": [SETS]}),
    f"/apis/{GROUP}/v1alpha1": Answer(200, {"resources": [SETS]}),
    "/api/v1/namespaces/n/pods/gone": Answer(404, {"details": {"name": "gone"}, "message": "not found"}),
    "/api/v1/namespaces/n/pods/moved": Answer(404, {"message": "404 page not found"}),
    "/api/v1/namespaces/n/pods/one": Answer(200, {"metadata": {"name": "one", "managedFields": [1]}}),
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(cluster, "ask", lambda _client, _method, path, *_: ANSWERS[path])
    return Server(cast("Any", None))


def test_kinds_are_known_though_a_server_of_others_is_away(server: Server) -> None:
    assert server.kind("po").path("n") == "/api/v1/namespaces/n/pods"
    assert server.kind("LeaderWorkerSet").version == f"{GROUP}/v1"
    assert server.kind("LeaderWorkerSet", f"{GROUP}/v1alpha1").version == f"{GROUP}/v1alpha1"
    with pytest.raises(
        Refused, match=r"does not serve nodes .*and did not say what it serves of metrics.k8s.io/v1beta1"
    ):
        server.kind("nodes")


def test_kinds_are_the_same_for_threads_that_ask_at_once(server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda number: server.kind(("pod", "pods", "po")[number % 3]), range(200)))
    assert len(found) == 1


def test_object_that_is_not_there_is_told_from_a_kind_that_is_not_there(server: Server) -> None:
    pods = server.kind("pods")
    assert server.get(pods, "gone", "n") is None
    assert server.get(pods, "one", "n") == {"metadata": {"name": "one"}}
    with pytest.raises(Refused, match="404 page not found"):
        server.get(pods, "moved", "n")
