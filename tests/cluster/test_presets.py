"""The reference's two models on a real API server, with the real LeaderWorkerSet, on simulated nodes of 8 GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import simulated
from kit.cluster import create, get, objects
from kit.paths import MAIN_PRESETS, name_of
from kit.progress import step, wait_until
from kit.release import Release
from kit.subset import lost_paths

pytestmark = pytest.mark.cluster
START_LIMIT = 60
"""Seconds: simulated pods are ready at once."""
MODELS = [file for file in MAIN_PRESETS if file.stem in ("deepseek-r1", "llama-405b")]
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hf-secret"}, "stringData": {"hf_api_token": "x"}}


@pytest.fixture(scope="module", params=MODELS, ids=name_of)
def installed(request: pytest.FixtureRequest, namespace: str, simulated_nodes: None) -> Iterator[Release]:
    """Install a model's preset as release ``vllm``, with the reference's Secret."""
    file: Path = request.param
    create(SECRET, namespace)
    release = Release(namespace)
    with step(f"install {file.name}"):
        release.install(file, values=simulated.VALUES)
        release.wait_available(START_LIMIT)
    yield release
    release.uninstall()


def test_both_models_of_the_reference_have_presets() -> None:
    assert [file.stem for file in MODELS] == ["deepseek-r1", "llama-405b"]


def test_pods_have_the_names_of_the_reference_when_installed_as_vllm(installed: Release) -> None:
    containers = {pod["metadata"]["name"]: pod["spec"]["containers"][0]["name"] for pod in installed.pods()}
    assert containers == {"vllm-0": "vllm-leader", "vllm-0-1": "vllm-worker"}


def test_every_pod_has_a_node_of_its_own_and_its_8_gpus(installed: Release) -> None:
    pods = installed.pods()
    assert len({pod["spec"]["nodeName"] for pod in pods}) == len(pods) == 2
    limits = [pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] for pod in pods]
    assert limits == ["8", "8"]


def test_service_leads_to_the_leader_alone(installed: Release) -> None:
    service = get("service", "vllm-leader", installed.namespace)
    assert service
    assert [port["port"] for port in service["spec"]["ports"]] == [8080]
    found = wait_until("endpoint of vllm-leader", lambda: endpoints(installed.namespace, "vllm-leader"), 20)
    assert found == ["vllm-0"]


def endpoints(namespace: str, service: str) -> list[str]:
    """Return the pods to which a Service leads."""
    slices = objects("endpointslices", selector=f"kubernetes.io/service-name={service}", namespace=namespace)
    ready = [end for part in slices for end in part["endpoints"] or [] if end["conditions"]["ready"]]
    return [str(end["targetRef"]["name"]) for end in ready]


def test_api_server_keeps_every_field_that_was_rendered(installed: Release) -> None:
    assert "LeaderWorkerSet" in {document["kind"] for document in installed.manifest()}
    assert installed.lost() == []


@pytest.mark.parametrize(("role", "pod"), [("leader", "vllm-0"), ("worker", "vllm-0-1")])
def test_pods_are_what_the_template_says(installed: Release, role: str, pod: str) -> None:
    group = installed.group()
    assert group
    template = group["spec"]["leaderWorkerTemplate"][f"{role}Template"]
    assert lost_paths(template, installed.pod(pod)) == []


def test_helm_test_reaches_its_end(installed: Release) -> None:
    """On simulated nodes a Job succeeds at once: this says that the hook is accepted, scheduled and removed."""
    assert "Succeeded" in installed.test().stdout
    assert get("job", "vllm-test", installed.namespace) is None
