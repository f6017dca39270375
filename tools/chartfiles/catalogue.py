"""The presets in ``values/``, with the requests of ``vmn generate`` that write them, and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vmn.app.plan_request import PlanRequest
from vmn.app.planner import plan
from vmn.app.values_file import values_file
from vmn.report.plan_plot import svg

CATALOGUE: Mapping[str, PlanRequest] = {
    "deepseek-r1": PlanRequest(model="deepseek-ai/DeepSeek-R1", gpu="h100", nodes=2),
    "deepseek-r1.h200x8": PlanRequest(model="deepseek-ai/DeepSeek-R1", gpu="h200"),
    "deepseek-r1.b200x8": PlanRequest(model="deepseek-ai/DeepSeek-R1", gpu="b200"),
    "deepseek-v3.1.h100x16": PlanRequest(model="deepseek-ai/DeepSeek-V3.1", gpu="h100", nodes=2),
    "deepseek-v3.2.h200x8": PlanRequest(model="deepseek-ai/DeepSeek-V3.2", gpu="h200"),
    "deepseek-v4-pro.h200x16": PlanRequest(model="deepseek-ai/DeepSeek-V4-Pro", gpu="h200", nodes=2),
    "deepseek-v4-pro.h100x16": PlanRequest(model="deepseek-ai/DeepSeek-V4-Pro", gpu="h100", nodes=2),
    "deepseek-v4-pro.b200x8": PlanRequest(model="deepseek-ai/DeepSeek-V4-Pro", gpu="b200"),
    "deepseek-v4-flash.h200x8": PlanRequest(model="deepseek-ai/DeepSeek-V4-Flash", gpu="h200"),
    "deepseek-v4-flash.b200x8": PlanRequest(model="deepseek-ai/DeepSeek-V4-Flash", gpu="b200"),
    "llama-405b": PlanRequest(model="meta-llama/Meta-Llama-3.1-405B-Instruct", gpu="h100", nodes=2),
    "llama-405b.h200x8": PlanRequest(model="meta-llama/Meta-Llama-3.1-405B-Instruct", gpu="h200"),
    "llama-405b-fp8.h100x8": PlanRequest(model="meta-llama/Llama-3.1-405B-Instruct-FP8", gpu="h100"),
    "llama-3.3-70b.h100x4": PlanRequest(model="meta-llama/Llama-3.3-70B-Instruct", gpu="h100", gpus_per_node=4),
    "llama-3.3-70b.a100x4": PlanRequest(model="meta-llama/Llama-3.3-70B-Instruct", gpu="a100", gpus_per_node=4),
    "llama-3.3-70b.l40sx8": PlanRequest(model="meta-llama/Llama-3.3-70B-Instruct", gpu="l40s"),
    "llama-3.1-8b.l4x1": PlanRequest(model="meta-llama/Llama-3.1-8B-Instruct", gpu="l4", gpus_per_node=1),
    "qwen3-235b.h100x8": PlanRequest(model="Qwen/Qwen3-235B-A22B-Instruct-2507", gpu="h100"),
    "qwen3-235b.h200x8": PlanRequest(model="Qwen/Qwen3-235B-A22B-Instruct-2507", gpu="h200"),
    "qwen3-coder-480b.h100x16": PlanRequest(model="Qwen/Qwen3-Coder-480B-A35B-Instruct", gpu="h100", nodes=2),
    "qwen3-coder-480b-fp8.h200x8": PlanRequest(model="Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8", gpu="h200"),
    "qwen3.8-2.4t-fp8.b200x16": PlanRequest(
        model="Qwen/Qwen3.8-2.4T-A95B-FP8", gpu="b200", nodes=2, kv_cache_dtype="fp8"
    ),
    "kimi-k2.h200x16": PlanRequest(model="moonshotai/Kimi-K2-Instruct", gpu="h200", nodes=2),
    "kimi-k2.b200x8": PlanRequest(model="moonshotai/Kimi-K2-Instruct", gpu="b200"),
    "kimi-k2-thinking.h200x8": PlanRequest(model="moonshotai/Kimi-K2-Thinking", gpu="h200"),
    "kimi-k3.h200x16": PlanRequest(model="moonshotai/Kimi-K3", gpu="h200", nodes=2),
    "kimi-k3.b200x16": PlanRequest(model="moonshotai/Kimi-K3", gpu="b200", nodes=2, gpu_memory_utilization=0.9),
    "glm-4.6.h100x16": PlanRequest(model="zai-org/GLM-4.6", gpu="h100", nodes=2),
    "glm-4.6.h200x8": PlanRequest(model="zai-org/GLM-4.6", gpu="h200"),
    "glm-5.3.h200x16": PlanRequest(model="zai-org/GLM-5.3", gpu="h200", nodes=2, kv_cache_dtype="fp8"),
    "glm-5.3.h100x16": PlanRequest(model="zai-org/GLM-5.3", gpu="h100", nodes=2, kv_cache_dtype="fp8"),
    "glm-5.3.b200x8": PlanRequest(model="zai-org/GLM-5.3", gpu="b200", kv_cache_dtype="fp8", max_num_seqs=32),
    "glm-5.3-flash.h200x8": PlanRequest(model="zai-org/GLM-5.3-Flash", gpu="h200"),
    "glm-5.3-flash.b200x8": PlanRequest(model="zai-org/GLM-5.3-Flash", gpu="b200"),
    "minimax-m3.h200x16": PlanRequest(model="MiniMaxAI/MiniMax-M3", gpu="h200", nodes=2),
    "minimax-m3.h100x16": PlanRequest(model="MiniMaxAI/MiniMax-M3", gpu="h100", nodes=2),
    "minimax-m3.b200x8": PlanRequest(model="MiniMaxAI/MiniMax-M3", gpu="b200"),
    "nemotron-3-ultra.h200x16": PlanRequest(
        model="nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16", gpu="h200", nodes=2, kv_cache_dtype="fp8"
    ),
    "nemotron-3-ultra.b200x8": PlanRequest(
        model="nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16", gpu="b200", kv_cache_dtype="fp8"
    ),
    "gpt-oss-120b.h100x1": PlanRequest(model="openai/gpt-oss-120b", gpu="h100", gpus_per_node=1),
    "gpt-oss-20b.l4x1": PlanRequest(model="openai/gpt-oss-20b", gpu="l4", gpus_per_node=1),
    "mistral-large.h100x4": PlanRequest(model="mistralai/Mistral-Large-Instruct-2411", gpu="h100", gpus_per_node=4),
    "mistral-large.a100x8": PlanRequest(model="mistralai/Mistral-Large-Instruct-2411", gpu="a100"),
    "mistral-large-3.h200x8": PlanRequest(
        model="mistralai/Mistral-Large-3-675B-Instruct-2512", gpu="h200", max_model_len=262_144
    ),
    "mistral-large-3.h100x16": PlanRequest(
        model="mistralai/Mistral-Large-3-675B-Instruct-2512", gpu="h100", nodes=2, max_model_len=262_144
    ),
    "mistral-large-3.b200x8": PlanRequest(
        model="mistralai/Mistral-Large-3-675B-Instruct-2512", gpu="b200", max_model_len=262_144
    ),
}
"""What each file is generated from."""


def catalogue(folder: Path) -> dict[Path, str]:
    """Return all presets with the content that they should have.

    Raises:
        LookupError: no layout fits a request.
    """
    return {folder / f"{name}.yaml": _text(name, request) for name, request in CATALOGUE.items()}


def _text(name: str, request: PlanRequest) -> str:
    text = values_file(request)
    if text is None:
        raise LookupError(f"{name}: no layout fits")
    return text


def picture(name: str) -> str:
    """Return a drawing of the best layout of a preset, with a bar for the GPUs of each stage."""
    return svg(plan(CATALOGUE[name]))
