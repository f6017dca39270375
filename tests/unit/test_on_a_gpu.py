"""The start on a real GPU with Ray: what it makes of the rendered pod, and what it calls wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpu.renderedpod import read_pod
from gpu.serve_with_ray import Seen
from gpu.start_with_caches import write_checkpoint
from kit.paths import CHECKOUT
from kit.render import Manifests, render

VALUES = CHECKOUT / "tests/gpu/ray.yaml"
ANSWER = " top destination for foodies, with"
GOOD = Seen(
    text=ANSWER,
    titles=["ray::DashboardAgent", "ray::RayWorkerProc.run"],
    gpus="1.0/1.0 GPU (1.0 used of 1.0 reserved in placement groups)",
    drained="500 tokens",
    status=0,
)
"""What an H200 showed."""


def written(manifests: Manifests, folder: Path) -> Path:
    """Return a file with rendered manifests."""
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(list(manifests)), encoding="utf-8")
    return file


def test_pod_is_the_rendered_leader_but_for_sizes_and_paths(tmp_path: Path) -> None:
    manifests, folder = render(None, VALUES), tmp_path / "pod"
    folder.mkdir()
    pod = read_pod(written(manifests, tmp_path), "ray", Path("/some/checkpoint"), folder, "10.0.0.1")
    container = manifests.templates()["leader"]["spec"]["containers"][0]
    model, *rendered = container["args"]
    at = rendered.index("--pipeline-parallel-size") + 1
    rendered[at] = "1"
    assert model == "/models/tiny"
    assert pod.command == ["/bin/bash", f"{folder}/scripts/entrypoint.sh", "/some/checkpoint", *rendered]
    assert pod.changed == ["--pipeline-parallel-size 2 -> 1"]
    assert (pod.port, pod.env["VLLM_HOST_IP"], pod.env["LWS_GROUP_SIZE"]) == (8080, "10.0.0.1", "1")
    assert pod.env["HOME"] == f"{folder}/cache/v0.32.0-tiny/home"
    scripts = {file.name: file.read_text(encoding="utf-8") for file in (folder / "scripts").iterdir()}
    assert scripts == manifests.one("ConfigMap", "vllm-scripts")["data"]


def test_pod_is_refused_when_the_backend_is_not_ray(tmp_path: Path) -> None:
    manifests = render({"engine": {"backend": "mp"}}, VALUES)
    with pytest.raises(ValueError, match=r"engine\.backend is mp, not ray"):
        read_pod(written(manifests, tmp_path), "ray", tmp_path, tmp_path, "10.0.0.1")


def test_pod_is_refused_when_there_is_no_group(tmp_path: Path) -> None:
    (tmp_path / "manifests.yaml").write_text("kind: Service\n", encoding="utf-8")
    with pytest.raises(ValueError, match="0 LeaderWorkerSets instead of one"):
        read_pod(tmp_path / "manifests.yaml", "ray", tmp_path, tmp_path, "10.0.0.1")


@pytest.mark.parametrize("expected", [ANSWER, None])
def test_seen_has_no_problems_when_all_was_as_on_the_gpu(expected: str | None) -> None:
    assert GOOD.problems(expected) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"text": " a"}, "the answer is ' a', not "),
        ({"titles": ["ray::DashboardAgent"]}, "no worker of vLLM among Ray's processes"),
        ({"gpus": "0.0/1.0 GPU"}, "no GPU in use in a placement group: 0.0/1.0 GPU"),
        ({"drained": "lost: reset"}, "the request in flight at SIGTERM: lost: reset"),
        ({"status": 137}, "exit status 137 instead of 0"),
    ],
)
def test_seen_has_a_problem_when_one_thing_is_wrong(change: dict[str, Any], problem: str) -> None:
    problems = replace(GOOD, **change).problems(ANSWER)
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_checkpoint_of_a_model_has_its_shapes_and_another_s_tokenizer(tmp_path: Path) -> None:
    tokenizer = tmp_path / "tiny"
    tokenizer.mkdir()
    for name in ("tokenizer.json", "config.json", "model.safetensors"):
        (tokenizer / name).write_text("{}")
    write_checkpoint(tmp_path / "made", "deepseek-ai/DeepSeek-R1", 8, tokenizer)
    config = json.loads((tmp_path / "made/config.json").read_text())
    assert (config["num_hidden_layers"], config["hidden_size"]) == (8, 7168)
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["config.json", "tokenizer.json"]
