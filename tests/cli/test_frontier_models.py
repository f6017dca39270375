"""From the name of a model to objects: plan, generate, validate, and render."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from kit.render import helm_program, render
from unit.planning_data.registry import planned
from vmn.adapters.models import REGISTRY
from vmn.cli import main

pytestmark = pytest.mark.slow

MODELS = {
    "MiniMaxAI/MiniMax-M3": ("h200", "1"),
    "Qwen/Qwen3.8-2.4T-A95B": ("b200", "4"),
    "Qwen/Qwen3.8-Flash-Next": ("h200", "1"),
    "arcee-ai/Trinity-Large-Thinking": ("h200", "1"),
    "deepseek-ai/DeepSeek-V4-Flash": ("h200", "1"),
    "deepseek-ai/DeepSeek-V4-Pro": ("h200", "2"),
    "deepseek-ai/DeepSeek-V4.1-Flash": ("h200", "1"),
    "inclusionAI/Ling-3.0-flash": ("h200", "1"),
    "meituan-longcat/LongCat-Flash-Chat": ("h200", "2"),
    "meta-models/Muse-Spark-Open-816B-A42B": ("h200", "2"),
    "mistralai/Mistral-Large-3-675B-Instruct-2512": ("h200", "1"),
    "mistralai/Mistral-Small-4-119B-2603": ("h200", "1"),
    "moonshotai/Kimi-K3": ("h200", "2"),
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16": ("h200", "1"),
    "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16": ("h200", "2"),
    "tencent/Hy3": ("h200", "1"),
    "tencent/Hy4-preview": ("h200", "2"),
    "thinkingmachines/Inkling": ("h200", "2"),
    "zai-org/GLM-5.3": ("h200", "1"),
    "zai-org/GLM-5.3-Flash": ("h200", "1"),
}
"""The GPU and the number of nodes of each."""


@pytest.mark.parametrize(("model", "hardware"), MODELS.items(), ids=MODELS)
def test_model_becomes_objects(
    model: str, hardware: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(helm_program().parent), prepend=os.pathsep)
    gpu, nodes = hardware
    file = tmp_path / "values.yaml"
    options = ["--gpu", gpu, "--nodes", nodes, "--vllm-version", "0.33.0"]
    for command in (["plan", model, *options], ["generate", model, *options, "-w", str(file)], ["validate", str(file)]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
    leader = render(None, file).templates()["leader"]["spec"]["containers"][0]
    assert model in leader["args"]


HARDWARE = (("h200", "1"), ("h200", "2"), ("b200", "1"), ("b200", "2"), ("h200", "4"), ("b200", "4"))
"""The GPU and the number of nodes with 8 of them each, in the order in which they are tried."""
TWO_NODES, FOUR_NODES = HARDWARE[1], HARDWARE[5]
LARGE = {
    "Qwen/Qwen3.8-2.4T-A95B": FOUR_NODES,
    "Qwen/Qwen3.8-2.4T-A95B-FP8": HARDWARE[3],
    "meituan-longcat/LongCat-Flash-Chat": TWO_NODES,
    "meta-models/Muse-Spark-Open-816B-A42B": TWO_NODES,
    "moonshotai/Kimi-K3": TWO_NODES,
    "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16": TWO_NODES,
    "tencent/Hy4-preview": TWO_NODES,
    "thinkingmachines/Inkling": TWO_NODES,
    "zai-org/GLM-5": TWO_NODES,
    "zai-org/GLM-5.1": TWO_NODES,
    "zai-org/GLM-5.2": TWO_NODES,
}
"""The models that do not fit on 8 H200, with the first hardware on which they do."""
NAMES = [model.name for model in planned()]


def test_every_built_in_model_is_planned() -> None:
    assert len(NAMES) == len(list(REGISTRY.glob("*.json"))) >= 100
    assert LARGE.keys() <= set(NAMES)


@pytest.mark.parametrize("model", [name for name in NAMES if name not in MODELS])
def test_built_in_model_has_values_that_pass_every_ring(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(helm_program().parent), prepend=os.pathsep)
    gpu, nodes = LARGE.get(model, HARDWARE[0])
    file = tmp_path / "values.yaml"
    for command in (["generate", model, "--gpu", gpu, "--nodes", nodes, "-w", str(file)], ["validate", str(file)]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("model", LARGE)
def test_large_model_is_refused_on_all_smaller_hardware(model: str) -> None:
    for gpu, nodes in HARDWARE[: HARDWARE.index(LARGE[model])]:
        done = CliRunner().invoke(main, ["generate", model, "--gpu", gpu, "--nodes", nodes])
        assert done.exit_code == 1
        assert "no layout fits" in done.output
