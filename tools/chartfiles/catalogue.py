"""The presets in ``values/``, with the arguments of ``vmn generate`` that write them, and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vmn.cli.generate import parsed, values_file
from vmn.cli.plan import answer
from vmn.report.plan_plot import svg

CATALOGUE: Mapping[str, str] = {
    "deepseek-r1": "deepseek-ai/DeepSeek-R1 --gpu h100 --nodes 2",
    "deepseek-r1.h200x8": "deepseek-ai/DeepSeek-R1 --gpu h200",
    "deepseek-r1.b200x8": "deepseek-ai/DeepSeek-R1 --gpu b200",
    "deepseek-v3.1.h100x16": "deepseek-ai/DeepSeek-V3.1 --gpu h100 --nodes 2",
    "deepseek-v3.2.h200x8": "deepseek-ai/DeepSeek-V3.2 --gpu h200",
    "llama-405b": "meta-llama/Meta-Llama-3.1-405B-Instruct --gpu h100 --nodes 2",
    "llama-405b.h200x8": "meta-llama/Meta-Llama-3.1-405B-Instruct --gpu h200",
    "llama-405b-fp8.h100x8": "meta-llama/Llama-3.1-405B-Instruct-FP8 --gpu h100",
    "llama-3.3-70b.h100x4": "meta-llama/Llama-3.3-70B-Instruct --gpu h100 --gpus-per-node 4",
    "llama-3.3-70b.a100x4": "meta-llama/Llama-3.3-70B-Instruct --gpu a100 --gpus-per-node 4",
    "llama-3.3-70b.l40sx8": "meta-llama/Llama-3.3-70B-Instruct --gpu l40s",
    "llama-3.1-8b.l4x1": "meta-llama/Llama-3.1-8B-Instruct --gpu l4 --gpus-per-node 1",
    "qwen3-235b.h100x8": "Qwen/Qwen3-235B-A22B-Instruct-2507 --gpu h100",
    "qwen3-235b.h200x8": "Qwen/Qwen3-235B-A22B-Instruct-2507 --gpu h200",
    "qwen3-coder-480b.h100x16": "Qwen/Qwen3-Coder-480B-A35B-Instruct --gpu h100 --nodes 2",
    "qwen3-coder-480b-fp8.h200x8": "Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8 --gpu h200",
    "kimi-k2.h200x16": "moonshotai/Kimi-K2-Instruct --gpu h200 --nodes 2",
    "kimi-k2.b200x8": "moonshotai/Kimi-K2-Instruct --gpu b200",
    "kimi-k2-thinking.h200x8": "moonshotai/Kimi-K2-Thinking --gpu h200",
    "glm-4.6.h100x16": "zai-org/GLM-4.6 --gpu h100 --nodes 2",
    "glm-4.6.h200x8": "zai-org/GLM-4.6 --gpu h200",
    "gpt-oss-120b.h100x1": "openai/gpt-oss-120b --gpu h100 --gpus-per-node 1",
    "gpt-oss-20b.l4x1": "openai/gpt-oss-20b --gpu l4 --gpus-per-node 1",
    "mistral-large.h100x4": "mistralai/Mistral-Large-Instruct-2411 --gpu h100 --gpus-per-node 4",
    "mistral-large.a100x8": "mistralai/Mistral-Large-Instruct-2411 --gpu a100",
}
"""Name of the file -> arguments of ``vmn generate``."""


def catalogue(folder: Path) -> dict[Path, str]:
    """Return all presets with the content that they should have.

    Raises:
        LookupError: an entry fits nowhere.
    """
    return {folder / f"{name}.yaml": _text(name, arguments) for name, arguments in CATALOGUE.items()}


def _text(name: str, arguments: str) -> str:
    text = values_file(*parsed(arguments.split()))
    if text is None:
        raise LookupError(f"{name}: no layout fits")
    return text


def picture(name: str) -> str:
    """Return the drawing of an entry's best layout, a bar for each stage's GPUs."""
    asked, _ = parsed(CATALOGUE[name].split())
    return svg(answer(asked))
