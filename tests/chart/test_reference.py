"""The names of the reference guide work unchanged, and none of its faults remains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.paths import CHECKOUT, name_of
from kit.render import Manifests, render

TWO_NODES = [CHECKOUT / "values" / name for name in ("deepseek-r1.yaml", "llama-405b.yaml")]
MODELS = {"deepseek-r1": "deepseek-ai/DeepSeek-R1", "llama-405b": "meta-llama/Meta-Llama-3.1-405B-Instruct"}
both = pytest.mark.parametrize("file", TWO_NODES, ids=name_of)


def containers(manifests: Manifests) -> dict[str, dict[str, Any]]:
    """Return the main container of each role."""
    return {role: template["spec"]["containers"][0] for role, template in manifests.templates().items()}


def arguments(container: dict[str, Any]) -> list[str]:
    """Return a container's whole command line."""
    return [*container.get("command", []), *container.get("args", [])]


@both
def test_release_vllm_has_the_names_of_the_guide(file: Path) -> None:
    manifests = render(None, file)
    assert manifests.one("LeaderWorkerSet")["metadata"]["name"] == "vllm"
    assert {role: one["name"] for role, one in containers(manifests).items()} == {
        "leader": "vllm-leader",
        "worker": "vllm-worker",
    }
    ports = manifests.one("Service", "vllm-leader")["spec"]["ports"]
    assert 8080 in [port["port"] for port in ports]


@both
def test_service_name_is_neither_the_groups_nor_vllm(file: Path) -> None:
    for release in ("vllm", "other"):
        names = {service["metadata"]["name"] for service in render(None, file, release=release).all("Service")}
        assert not names & {"vllm", release}, "LWS makes a headless Service of that name, and VLLM_PORT breaks vLLM"


@both
def test_token_comes_from_the_guides_secret(file: Path) -> None:
    for role, container in containers(render(None, file)).items():
        tokens = [one for one in container["env"] if "valueFrom" in one and "secretKeyRef" in one["valueFrom"]]
        keys = [(one["valueFrom"]["secretKeyRef"]["name"], one["valueFrom"]["secretKeyRef"]["key"]) for one in tokens]
        assert ("hf-secret", "hf_api_token") in keys, role


@both
def test_model_and_layout_are_those_of_the_guide(file: Path) -> None:
    manifests = render(None, file)
    lws = manifests.one("LeaderWorkerSet")["spec"]
    assert lws["leaderWorkerTemplate"]["size"] == 2
    for container in containers(manifests).values():
        argv = " ".join(arguments(container)).replace("=", " ").split()
        assert MODELS[file.stem] in argv
        assert argv[argv.index("--tensor-parallel-size") + 1] == "8"
        assert argv[argv.index("--pipeline-parallel-size") + 1] == "2"
        assert container["resources"]["limits"]["nvidia.com/gpu"] in (8, "8")


@both
def test_faults_of_the_guide_are_fixed(file: Path) -> None:
    manifests = render(None, file)
    text = json.dumps(list(manifests))
    assert "ray_init.sh" not in text
    assert "api_server" not in text
    assert "cloud.google.com" not in text, "a label that most clusters do not have"
    for role, template in manifests.templates().items():
        container = template["spec"]["containers"][0]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert probe in container, f"{role} has no {probe}"
        if role == "leader":
            assert "tcpSocket" not in container["readinessProbe"]
        assert "lifecycle" in container, f"{role} does not drain"
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), role
        assert container["securityContext"]["allowPrivilegeEscalation"] is False, role
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"], role
        assert template["spec"]["automountServiceAccountToken"] is False, role
        assert template["spec"]["terminationGracePeriodSeconds"] > 30, role
    assert manifests.all("NetworkPolicy")


@both
def test_context_is_longer_than_the_guides_4096(file: Path) -> None:
    argv = " ".join(arguments(containers(render(None, file))["leader"])).replace("=", " ").split()
    if "--max-model-len" in argv:
        assert int(argv[argv.index("--max-model-len") + 1]) > 4096


@both
def test_group_starts_leader_first_and_restarts_as_a_whole(file: Path) -> None:
    lws = render(None, file).one("LeaderWorkerSet")["spec"]
    assert lws.get("startupPolicy", "LeaderCreated") == "LeaderCreated"
    assert lws["leaderWorkerTemplate"].get("restartPolicy", "RecreateGroupOnPodRestart") != "None"
