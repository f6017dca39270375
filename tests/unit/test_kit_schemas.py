"""The kit's schema checks: each passes a good object and refuses a bad one."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kit.schemas import closed, object_errors

POD_TEMPLATE: dict[str, Any] = {"spec": {"containers": [{"name": "a", "image": "b"}]}}
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s"},
    "spec": {"ports": [{"port": 80}]},
}
LWS: dict[str, Any] = {
    "apiVersion": "leaderworkerset.x-k8s.io/v1",
    "kind": "LeaderWorkerSet",
    "metadata": {"name": "l"},
    "spec": {"leaderWorkerTemplate": {"size": 2, "leaderTemplate": POD_TEMPLATE, "workerTemplate": POD_TEMPLATE}},
}


@pytest.mark.parametrize("document", [SERVICE, LWS], ids=["service", "lws"])
def test_object_errors_are_none_when_the_object_is_good(document: dict[str, Any]) -> None:
    assert object_errors(document) == []


@pytest.mark.parametrize(
    ("document", "change", "words"),
    [
        (SERVICE, {"spec": {"ports": [{"port": "http"}]}}, "$.spec.ports[0].port"),
        (SERVICE, {"spec": {"prots": []}}, "prots"),
        (SERVICE, {"apiVersion": "v7"}, "has no Service in v7"),
        (SERVICE, {"kind": "Servise"}, "has no Servise in v1"),
        (LWS, {"spec": {"leaderWorkerTemplate": {"size": "2", "workerTemplate": POD_TEMPLATE}}}, "size"),
        (LWS, {"spec": {"leaderWorkerTemplate": {"sise": 2, "workerTemplate": POD_TEMPLATE}}}, "sise"),
        (
            LWS,
            {
                "spec": {
                    "leaderWorkerTemplate": {"workerTemplate": {"spec": {"containers": [{"name": "a", "imag": 1}]}}}
                }
            },
            "$.spec.leaderWorkerTemplate.workerTemplate.spec.containers[0]",
        ),
    ],
)
def test_object_errors_name_object_and_path_when_the_object_is_bad(
    document: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    errors = object_errors(copy.deepcopy(document) | change)
    assert errors
    assert words in "\n".join(errors)
    assert f"{(document | change)['kind']}/{document['metadata']['name']}" in errors[0]


def test_closed_leaves_objects_open_when_they_say_so() -> None:
    free = {"properties": {"a": {}}, "x-kubernetes-preserve-unknown-fields": True}
    mapping = {"type": "object", "additionalProperties": {"type": "string"}}
    assert closed(free) == free
    assert closed(mapping) == mapping
    assert closed({"properties": {"properties": {"type": "string"}}})["additionalProperties"] is False
