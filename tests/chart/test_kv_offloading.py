"""The KV cache in host memory: what vLLM counts, and what the pod needs for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kit.render import render

ONE_NODE: dict[str, Any] = {"group": {"nodes": 1}}
REPLICAS: dict[str, Any] = {"parallelism": {"data": 8, "tensor": 2, "expert": True}}
FLAG = "--kv-offloading-size"


def pod_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leader's pod."""
    spec: dict[str, Any] = render({"model": {"name": "a/b"}, **values}).templates()["leader"]["spec"]
    return spec


def size_of(pod: Mapping[str, Any]) -> float | None:
    """Return the number of the flag, nothing without it."""
    words = pod["containers"][0]["args"]
    return float(words[words.index(FLAG) + 1]) if FLAG in words else None


def shared_memory_of(pod: Mapping[str, Any]) -> str:
    """Return the limit of /dev/shm."""
    (limit,) = [volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if volume["name"] == "dshm"]
    return str(limit)


@pytest.mark.parametrize(
    ("values", "size", "gibibytes", "request_", "shared"),
    [
        (ONE_NODE, "64Gi", 512, "712Gi", "544Gi"),
        (ONE_NODE, "100G", 745.0580596923828, "967740Mi", "795708Mi"),
        (ONE_NODE, "1536Mi", 12, "212Gi", "44Gi"),
        ({"group": {"nodes": 1, "gpusPerNode": 4}}, "64Gi", 256, "360Gi", "272Gi"),
        (REPLICAS, "64Gi", 128, "712Gi", "544Gi"),
        ({"parallelism": {"data": 2, "expert": True}}, "2Ti", 16384, "16584Gi", "16416Gi"),
    ],
)
def test_size_per_gpu_is_that_of_a_replica_for_vllm_and_of_all_gpus_for_the_pod(
    values: dict[str, Any], size: str, gibibytes: float, request_: str, shared: str
) -> None:
    pod = pod_of({**values, "kvCache": {"offloadingSizePerGpu": size}})
    assert size_of(pod) == pytest.approx(gibibytes)
    resources = pod["containers"][0]["resources"]
    assert resources["requests"]["memory"] == request_
    assert "memory" not in resources["limits"]
    assert shared_memory_of(pod) == shared


@pytest.mark.parametrize(
    ("given", "wanted"), [("300Gi", "812Gi"), ("300G", "810391Mi"), (322122547200, "812Gi"), ("1.5Ti", "2048Gi")]
)
def test_size_is_added_to_memory_and_shared_memory_that_the_user_sets(given: str | int, wanted: str) -> None:
    resources = {"requests": {"memory": given}, "limits": {"memory": given}}
    sizes = {**ONE_NODE, "resources": resources, "sharedMemory": {"size": "20Gi"}}
    pod = pod_of({**sizes, "kvCache": {"offloadingSizePerGpu": "64Gi"}})
    found = pod["containers"][0]["resources"]
    assert (found["requests"]["memory"], found["limits"]["memory"]) == (wanted, wanted)
    assert shared_memory_of(pod) == "532Gi"
    without = pod_of(sizes)
    assert without["containers"][0]["resources"]["limits"]["memory"] == given
    assert shared_memory_of(without) == "20Gi"


def test_nothing_is_added_when_nothing_is_offloaded() -> None:
    pod = pod_of(ONE_NODE)
    assert size_of(pod) is None
    assert pod["containers"][0]["resources"]["requests"]["memory"] == "200Gi"
    assert shared_memory_of(pod) == "32Gi"


@pytest.mark.parametrize(
    "image",
    [
        {"tag": "v0.33.0"},
        {"tag": "nightly"},
        {"digest": f"sha256:{'0' * 64}"},
        {"repository": "example.com/own", "tag": "v0.9"},
    ],
    ids=["newer", "no version", "digest", "another image"],
)
def test_size_is_accepted_with_an_image_that_is_not_known_to_be_older(image: dict[str, str]) -> None:
    assert size_of(pod_of({**ONE_NODE, "image": image, "kvCache": {"offloadingSizePerGpu": "64Gi"}})) == 512
