"""Every values file renders, and renders the same each time and with either version of Helm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kit.cases import valid_cases
from kit.diff import changed_paths
from kit.eitherhelm import either_helm
from kit.paths import CHART, CI_VALUES, MAIN_PRESETS, name_of
from kit.render import Helm, helm_template, render

EVERY = [*MAIN_PRESETS, *CI_VALUES, *valid_cases()]
every_file = pytest.mark.parametrize("file", EVERY, ids=name_of)
LABELS = {
    "app.kubernetes.io/name": "vllm-multinode",
    "app.kubernetes.io/instance": "vllm",
    "app.kubernetes.io/managed-by": "Helm",
}


def test_presets_and_ci_values_exist() -> None:
    assert MAIN_PRESETS
    assert CI_VALUES
    assert valid_cases()


@every_file
@either_helm
def test_chart_renders_valid_objects_with_either_helm(file: Path, helm: Helm) -> None:
    assert list(render(None, file, helm=helm))


@every_file
@pytest.mark.slow
def test_chart_renders_the_same_with_either_helm(file: Path) -> None:
    four, three = list(render(None, file)), list(render(None, file, helm="helm3"))
    assert changed_paths(four, three) == []


@pytest.mark.parametrize("file", MAIN_PRESETS, ids=name_of)
def test_chart_renders_the_same_when_rendered_twice(file: Path) -> None:
    texts = {
        helm_template(CHART, ["--values", str(file)], "{}", release="vllm", namespace="default", helm="helm")
        for _ in range(2)
    }
    assert len(texts) == 1


@every_file
def test_every_object_has_the_common_labels_and_its_namespace(file: Path) -> None:
    for document in render(None, file, namespace="serving"):
        name = f"{document['kind']}/{document['metadata']['name']}"
        labels = document["metadata"].get("labels", {})
        assert {key: labels.get(key) for key in LABELS} == LABELS, name
        assert labels.get("helm.sh/chart", "").startswith("vllm-multinode-"), name
        assert document["metadata"].get("namespace") == "serving", name


@every_file
def test_selectors_contain_no_version(file: Path) -> None:
    manifests = render(None, file)
    selectors = [service["spec"]["selector"] for service in manifests.all("Service")]
    for kind, key in (("NetworkPolicy", "podSelector"), ("PodDisruptionBudget", "selector")):
        selectors += [document["spec"][key].get("matchLabels", {}) for document in manifests.all(kind)]
    for selector in selectors:
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(selector), selector


@pytest.mark.parametrize(
    ("values", "forks"),
    [
        ({}, True),
        ({"group": {"gpuResource": "nvidia.com/mig-7g.141gb"}}, True),
        ({"group": {"gpuResource": "amd.com/gpu"}}, False),
        ({"group": {"gpuResource": None}}, False),
        ({"engine": {"args": {"mm-tensor-ipc": "torch_shm"}}}, False),
    ],
    ids=["NVIDIA", "MIG", "AMD", "CPU", "what vLLM refuses to fork with"],
)
def test_vllm_forks_its_processes_where_it_may(values: dict[str, Any], forks: bool) -> None:
    manifests = render({"model": {"name": "deepseek-ai/DeepSeek-R1"}, **values})
    env = {item["name"]: item.get("value") for item in manifests.templates()["leader"]["spec"]["containers"][0]["env"]}
    assert (env.get("VLLM_WORKER_MULTIPROC_METHOD") == "fork") is forks
