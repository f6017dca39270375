"""The tiny model from every place that weights come from: a claim and nodes' disks, downloaded once, and an image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.reference import ANSWER, PRESET, START_LIMIT, USAGE, ask
from kit.cluster import Object, create, get, kubectl, objects, present
from kit.paths import CHECKOUT
from kit.progress import say, step
from kit.release import Release
from localcluster import images, node
from localcluster.engine import checkpoint

pytestmark = [pytest.mark.engine, pytest.mark.minutes(3)]
READY_LIMIT = 90
SHARED = "/var/lib/vllm-multinode/cache"
"""A directory that all nodes share and vLLM's user can write to. It stands for shared storage and for a local disk."""
PORT = 8000
IMAGE = "vllm-multinode/tiny:test"
PRESET_VALUES: Mapping[str, Any] = yaml.safe_load(PRESET.read_text(encoding="utf-8"))
HUB = f"http://hub:{PORT}"
ROOM = "1Gi"


def hub() -> Sequence[Mapping[str, Any]]:
    """Return a hub that has the tiny model: the tests' own, in a pod of the engine's image."""
    image = PRESET_VALUES["image"]
    program = (CHECKOUT / "tests/kit/smallhub.py").read_text(encoding="utf-8")
    models = PRESET_VALUES["weights"]["volume"]["hostPath"]
    container = {
        "name": "hub",
        "image": f"{image['repository']}:{image['tag']}",
        "command": ["python3", "-B", "/hub/smallhub.py", "/models/tiny", "tiny", str(PORT)],
        "readinessProbe": {"httpGet": {"path": "/api/models/tiny", "port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "hub", "mountPath": "/hub"}, {"name": "models", "mountPath": "/models"}],
    }
    spec = {
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [
            {"name": "hub", "configMap": {"name": "hub"}},
            {"name": "models", "hostPath": {"path": models, "type": "Directory"}},
        ],
    }
    label = {"app": "hub"}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hub"}, "data": {"smallhub.py": program}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hub", "labels": label}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "hub"},
            "spec": {"selector": label, "ports": [{"port": PORT}]},
        },
    ]


@pytest.fixture
def release(namespace: str) -> Iterator[Release]:
    """Give a release in a namespace with a hub; afterwards remove what it has downloaded."""
    own = Release(namespace)
    with present(hub(), namespace):
        pod = ["pod/hub", "--for=condition=Ready", f"--timeout={READY_LIMIT}s"]
        kubectl("wait", *pod, namespace=namespace, limit=READY_LIMIT + 10)
        yield own
        remove_downloaded(namespace, check=False)
        own.uninstall()


def remove_downloaded(namespace: str, *, check: bool = True) -> None:
    """Remove what a test has downloaded, which all of its pods see."""
    remove = ["exec", "vllm-0", "--container", "vllm-leader", "--", "rm", "-rf", f"/cache/{namespace}"]
    kubectl(*remove, namespace=namespace, check=check)


def downloaded(namespace: str, **volume: Any) -> Mapping[str, Any]:
    """Return values that download the tiny model into a directory of the test's own."""
    weights = {"source": "volume", "path": f"/models/{namespace}/tiny", "endpoint": HUB}
    nothing = {"hostPath": None, **volume}
    return {"weights": {**weights, "volume": nothing, "download": {"enabled": True}}}


@contextmanager
def storage(name: str) -> Iterator[None]:
    """Have a volume that all nodes share, for a class of its own."""
    spec = {
        "capacity": {"storage": ROOM},
        "accessModes": ["ReadWriteMany"],
        "storageClassName": name,
        "hostPath": {"path": SHARED, "type": "Directory"},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    create({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec})
    try:
        yield
    finally:
        kubectl("delete", "persistentvolume", name, "--wait=false", check=False)


def init_logs(release: Release) -> list[str]:
    """Return what the container before vLLM said in each pod."""
    return [release.logs(pod["metadata"]["name"], "weights") for pod in release.pods()]


def jobs(release: Release) -> list[Object]:
    """Return the Jobs of the download."""
    return objects("jobs", selector="app.kubernetes.io/instance=vllm", namespace=release.namespace)


def test_job_fills_a_claim_once_and_every_pod_serves_from_it(release: Release) -> None:
    name = release.namespace
    claim = {"type": "persistentVolumeClaim", "create": True, "size": ROOM, "storageClassName": name}
    values = downloaded(name, **claim)
    with storage(name):
        with step("helm install with a download to a claim"):
            notes = release.install(PRESET, values=values).stdout
        assert f"kubectl logs -n {name} -l app.kubernetes.io/component=weights -f" in notes
        assert "WARNING: model.revision is not set" in notes
        release.wait_available(START_LIMIT)
        assert ask(name) == (ANSWER, USAGE)

        (job,) = jobs(release)
        assert job["status"]["succeeded"] == 1
        log = kubectl("logs", f"job/{job['metadata']['name']}", namespace=name).stdout
        assert "files checked" in log
        assert f"/models/{name}/tiny is complete: tiny at main, commit 0123456789" in log
        assert all("is complete: tiny at main" in said for said in init_logs(release))

        before = release.uids()
        release.upgrade(PRESET, values=values)
        assert [item["metadata"]["uid"] for item in jobs(release)] == [job["metadata"]["uid"]]
        assert release.uids() == before

        remove_downloaded(name)
        release.uninstall()
        kept = get("persistentvolumeclaim", "vllm-weights", name)
        assert kept, "the claim went with the release"
        kubectl("delete", "persistentvolumeclaim", "vllm-weights", "--wait=false", namespace=name)


def test_nodes_disk_is_filled_by_one_pod_while_the_other_one_waits(release: Release) -> None:
    values = downloaded(release.namespace, type="hostPath", hostPath=SHARED)
    with step("helm install with a download to the nodes' disks"):
        release.install(PRESET, values=values)
    release.wait_available(START_LIMIT)
    assert ask(release.namespace) == (ANSWER, USAGE)
    said = init_logs(release)
    say(f"init containers: {json.dumps(said)}")
    assert len([text for text in said if "tiny at main is commit" in text]) == 1, "the nodes of this test share a disk"
    assert all("is complete: tiny at main" in text for text in said)
    assert jobs(release) == []


@pytest.fixture
def image(tmp_path: Path) -> Iterator[str]:
    """Have an image with the tiny checkpoint on the nodes of a local cluster."""
    nodes = node.present()
    if not nodes:
        pytest.skip("images can be brought to the nodes of a local cluster only")
    folder = checkpoint.prepare()
    layer = images.layer_of({f"tiny/{file.name}": file for file in folder.iterdir()}, tmp_path / "layer.tar")
    archive = tmp_path / "image.tar"
    images.archive(IMAGE, layer, [], {}, "", archive)
    for one in nodes:
        node.import_image(one, archive)
    yield IMAGE
    for one in nodes:
        node.remove_image(one, IMAGE)


def test_image_as_a_volume_serves(image: str, namespace: str) -> None:
    release = Release(namespace)
    volume = {"type": "emptyDir", "hostPath": None}
    release.install(PRESET, values={"weights": {"source": "image", "volume": volume, "image": {"reference": image}}})
    try:
        release.wait_available(START_LIMIT)
        assert ask(namespace) == (ANSWER, USAGE)
        mounted = release.pods()[0]["spec"]["volumes"]
        assert [item["image"]["reference"] for item in mounted if "image" in item] == [image]
    finally:
        release.uninstall()
