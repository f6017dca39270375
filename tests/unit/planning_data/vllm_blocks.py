"""Asks vLLM's own code for blocks and tokens of a KV cache; prints ``vllm_blocks.json``.

Needs vLLM (0.32) and PyTorch, no GPU; with both on the path:
``PYTHONPATH=tools:tests python -m unit.planning_data.vllm_blocks``.
"""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import MagicMock

import torch
from vllm.v1.core.kv_cache_utils import get_kv_cache_configs, get_max_concurrency_for_kv_cache_config
from vllm.v1.kv_cache_interface import (
    ChunkedLocalAttentionSpec,
    FullAttentionSpec,
    MambaSpec,
    MLAAttentionSpec,
    SlidingWindowSpec,
)
from vllm.v1.kv_cache_layout import KVCacheLayout

from unit.planning_data.table import GIB, architecture
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.blocks.states import LinearAttention
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.kv_cache import kv_cache
from vmn.core.planning.model.architecture import Architecture
from vmn.core.planning.vllm.versions import LATEST, behaviour

TOKENS = 8192
CASES: tuple[tuple[str, str, dict[str, Any], int], ...] = (
    ("llama8b", "auto", {"pipeline": 4}, 8192),
    ("deepseek-ai--DeepSeek-R1", "auto", {"tensor": 8, "pipeline": 4}, 163_840),
    ("deepseek-ai--DeepSeek-R1", "auto", {"tensor": 8, "decode_context": 8}, 163_840),
    ("deepseek-ai--DeepSeek-V3.2", "auto", {"tensor": 8, "pipeline": 2}, 163_840),
    ("zai-org--GLM-5.3", "auto", {"tensor": 8, "pipeline": 2}, 131_072),
    ("google--gemma-3-27b-it", "auto", {}, 131_072),
    ("google--gemma-3-27b-it", "fp8", {"tensor": 2, "pipeline": 4}, 8192),
    ("openai--gpt-oss-120b", "auto", {}, 4096),
    ("openai--gpt-oss-120b", "auto", {"pipeline": 2}, 131_072),
    ("meta-llama--Llama-4-Maverick-17B-128E-Instruct", "auto", {"tensor": 8, "pipeline": 2}, 1_048_576),
    ("Qwen--Qwen3-Next-80B-A3B-Instruct", "auto", {"pipeline": 2}, 262_144),
    ("Qwen--Qwen3-Next-80B-A3B-Instruct", "fp8", {"tensor": 2, "pipeline": 4}, 65_536),
    ("Qwen--Qwen3.5-27B", "fp8", {"tensor": 2}, 131_072),
    ("Qwen--Qwen3.5-397B-A17B", "auto", {"tensor": 8, "pipeline": 2}, 262_144),
)
"""Model, data type, layout, tokens of a request."""


def specs(model: Architecture, layout: Layout, block: int, dtype: Any) -> list[dict[str, Any]]:
    """Return what each layer tells vLLM of its cache, layer by layer; states are padded to attention's page."""
    found: list[dict[str, Any]] = []
    for layer in model.layers:
        match layer.attention:
            case LatentAttention() as part:
                size = part.kv_rank + part.rope_size
                one = {"mla": MLAAttentionSpec(block_size=block, num_kv_heads=1, head_size=size, dtype=dtype)}
                if part.index_heads:
                    size = part.index_size + 4
                    one["indexer"] = MLAAttentionSpec(
                        block_size=block, num_kv_heads=1, head_size=size, dtype=torch.uint8
                    )
                found.append(one)
            case Attention() as part:
                found.append({"attention": attention_spec(part, layout, block, dtype)})
            case _:
                found.append({})
    page = max(spec.page_size_bytes for one in found for spec in one.values())
    for one, layer in zip(found, model.layers, strict=True):
        if isinstance(layer.attention, LinearAttention):
            one["state"] = state_spec(layer.attention, layout, block, page)
    return found


def attention_spec(part: Attention, layout: Layout, block: int, dtype: Any) -> Any:
    """Return what a layer of grouped-query attention tells vLLM."""
    fields: dict[str, Any] = {
        "block_size": block,
        "num_kv_heads": max(1, part.kv_heads // layout.tensor),
        "head_size": part.key_size,
        "dtype": dtype,
    }
    if part.window:
        return SlidingWindowSpec(sliding_window=part.window, **fields)
    return (
        ChunkedLocalAttentionSpec(attention_chunk_size=part.chunk, **fields)
        if part.chunk
        else FullAttentionSpec(**fields)
    )


def state_spec(part: LinearAttention, layout: Layout, block: int, page: int) -> Any:
    """Return what a layer of linear attention tells vLLM."""
    keys, values = part.key_heads * part.key_size, part.value_heads * part.value_size
    return MambaSpec(
        block_size=block,
        shapes=(
            ((2 * keys + values) // layout.tensor, part.convolution - 1),
            (part.value_heads // layout.tensor, part.value_size, part.key_size),
        ),
        dtypes=(torch.bfloat16, torch.float32 if part.recurrent_bytes == 4 else torch.bfloat16),
        page_size_padded=page,
        mamba_cache_mode="align",
    )


def configuration_of(layout: Layout, length: int) -> MagicMock:
    """Return as much of vLLM's configuration as sizing asks for, with 0.32's defaults."""
    config = MagicMock()
    config.model_config.max_model_len = config.model_config.original_max_model_len = length
    config.max_in_flight_tokens = TOKENS * (layout.pipeline + 1)
    config.num_prefill_lookahead_tokens = config.num_speculative_tokens = 0
    config.scheduler_config.disable_hybrid_kv_cache_manager = False
    parallel, cache = config.parallel_config, config.cache_config
    parallel.decode_context_parallel_size, parallel.prefill_context_parallel_size = layout.decode_context, 1
    parallel.pipeline_parallel_size, parallel.tensor_parallel_size = layout.pipeline, layout.tensor
    cache.num_gpu_blocks_override, cache.mamba_cache_mode, cache.enable_prefix_caching = None, "align", True
    cache.get_resolved_kv_cache_layout = lambda: KVCacheLayout.LBNHC
    config.speculative_config = config.kv_transfer_config = config.attention_config.hisparse_config = None
    return config


def ask(name: str, dtype: str, spread: dict[str, Any], length: int) -> dict[str, Any]:
    """Return vLLM's blocks and tokens, with 60 GiB on the first stage and one more on each next."""
    model, layout = architecture(name), Layout(**spread)
    block = kv_cache(model, layout, dtype, TOKENS, behaviour(LATEST)).block
    layers = specs(model, layout, block, torch.float8_e4m3fn if dtype == "fp8" else torch.bfloat16)
    workers = [
        {f"layers.{index}.{kind}": spec for index in range(begin, end) for kind, spec in layers[index].items()}
        for begin, end in model.stages(layout.pipeline)
    ]
    gib = [60 + stage for stage in range(layout.pipeline)]
    config = configuration_of(layout, length)
    found = get_kv_cache_configs(config, workers, [size * GIB for size in gib])[0]
    tokens = int(get_max_concurrency_for_kv_cache_config(config, found) * length)
    return {
        "model": name,
        "kv_dtype": dtype,
        "layout": spread,
        "length": length,
        "gib": gib,
        "blocks": found.num_blocks,
        "tokens": tokens,
        "groups": len(found.kv_cache_groups),
    }


if __name__ == "__main__":
    print(json.dumps([ask(*case) for case in CASES], indent=1))
