"""From the name of a model of 2026 to objects: plan, generate, validate, and render."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from kit.render import helm_program, render
from vmn.cli import main

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
