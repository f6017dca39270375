"""vLLM in a ``restricted`` namespace, as a user that no passwd file knows, with an API key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from openai import AuthenticationError, OpenAI

from engine.reference import ANSWER, ANSWER_LIMIT, PRESET, REQUEST, START_LIMIT
from kit.cluster import background, create, kubectl
from kit.progress import say
from kit.release import Release

pytestmark = [pytest.mark.engine, pytest.mark.minutes(2)]
LEVEL = "pod-security.kubernetes.io/enforce"
USER, GROUP = 1000650000, 0
"""As OpenShift gives them: a user of the namespace's range, and root's group."""
KEY = "sk-of-a-test"
FOLDERS = {"models": "/var/lib/vllm-multinode/models", "engine": "/var/lib/vllm-multinode/engine"}
"""Directories of the nodes, which ``restricted`` pods may have only as claims."""
VALUES = {
    "weights": {"volume": {"type": "persistentVolumeClaim", "claimName": "models", "hostPath": None}},
    "extraVolumes": [{"name": "engine", "persistentVolumeClaim": {"claimName": "engine", "readOnly": True}}],
    "security": {"userId": None, "podSecurityContext": {"runAsUser": USER, "runAsGroup": GROUP, "fsGroup": USER}},
    "auth": {"apiKey": {"existingSecret": "api"}},
    "fabric": {"interface": "auto"},
    "cache": {"type": "emptyDir", "hostPath": None},
}


def claimed(namespace: str, name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return a volume of a directory that every node has, and the namespace's claim to it."""
    volume_name = f"{namespace}-{name}"
    common = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = {
        **{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume_name}},
        "spec": {
            **common,
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": FOLDERS[name], "type": "Directory"},
            "claimRef": {"namespace": namespace, "name": name},
        },
    }
    claim = {
        **{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}},
        "spec": {**common, "volumeName": volume_name, "resources": {"requests": {"storage": "1Gi"}}},
    }
    return volume, claim


@pytest.fixture(scope="module")
def serving(namespace: str) -> Iterator[Release]:
    """Serve the tiny model as a cluster with tight rules lets it."""
    kubectl("label", "namespace", namespace, f"{LEVEL}=restricted")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api"}, "stringData": {"api-key": KEY}}
    pairs = [claimed(namespace, name) for name in FOLDERS]
    release = Release(namespace)
    with ExitStack() as made:
        for volume, _ in pairs:
            create(volume)
            made.callback(kubectl, "delete", "persistentvolume", volume["metadata"]["name"], "--wait=false")
        for document in (secret, *(claim for _, claim in pairs)):
            create(document, namespace)
        say("helm install as an arbitrary user")
        release.install(PRESET, values=VALUES)
        made.callback(release.uninstall)
        release.wait_available(START_LIMIT)
        yield release


def complete(namespace: str, key: str) -> str:
    """Return the answer to the reference's request with a key."""
    command = ["kubectl", "--namespace", namespace, "port-forward", "svc/vllm-leader", ":8080"]
    with background(*command, ready=r"127\.0\.0\.1:(\d+) -> 8080") as started:
        url = f"http://127.0.0.1:{started[1]}/v1"
        with OpenAI(base_url=url, api_key=key, timeout=ANSWER_LIMIT, max_retries=0) as client:
            answer: str = client.completions.create(model="tiny", **REQUEST).choices[0].text
    return answer


def test_arbitrary_user_serves(serving: Release) -> None:
    who = kubectl("exec", "vllm-0", "-c", "vllm-leader", "--", "id", namespace=serving.namespace).stdout
    assert f"uid={USER} gid={GROUP}" in who
    assert "(vllm)" not in who, "this user should have no name"
    assert complete(serving.namespace, KEY) == ANSWER


def test_interface_to_the_leader_is_found_in_both_pods(serving: Release) -> None:
    for pod, container in (("vllm-0", "vllm-leader"), ("vllm-0-1", "vllm-worker")):
        assert "the way to the leader at" in serving.logs(pod, container)


def test_request_without_the_key_is_refused_and_helm_test_has_it(serving: Release) -> None:
    with pytest.raises(AuthenticationError):
        complete(serving.namespace, "another")
    assert "Succeeded" in serving.test().stdout
