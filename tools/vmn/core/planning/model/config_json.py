"""Reading the shapes of a model from its ``config.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from vmn.core.planning.model.architecture import (
    Architecture,
    Attention,
    Config,
    ConfigError,
    Dense,
    Experts,
    LatentAttention,
    Layer,
    LinearAttention,
    Mixer,
)
from vmn.core.planning.model.kimi_linear import kimi_layers
from vmn.core.planning.model.minimax_m3 import minimax_layers
from vmn.core.planning.model.nemotron_h import nemotron_layers
from vmn.core.planning.model.quantization import kv_cache_dtype, quantization_fields, read_quantization

FAMILIES: Mapping[str, Callable[[Config], list[Layer]]] = {
    "kimi_k3": kimi_layers,
    "kimi_linear": kimi_layers,
    "minimax_m3_vl": minimax_layers,
    "nemotron_h": nemotron_layers,
}
"""Models with a file of their own, by ``model_type``: a function that returns their layers."""
KNOWN = frozenset(
    {
        "llama",
        "llama4",
        "mistral",
        "mistral3",
        "ministral3",
        "mixtral",
        "gemma3",
        "gemma3_text",
        "gpt_oss",
        "glm4_moe",
        "glm_moe_dsa",
        "qwen2",
        "qwen3",
        "qwen3_moe",
        "qwen3_next",
        "qwen3_vl",
        "qwen3_vl_moe",
        "qwen3_5",
        "qwen3_5_moe",
        "qwen3_5_text",
        "qwen3_5_moe_text",
        "deepseek_v2",
        "deepseek_v3",
        "deepseek_v32",
        "kimi_k2",
        "kimi_k25",
        "minimax_m2",
        *FAMILIES,
    }
)
"""``model_type`` of the models whose layers have the form described here."""
NORMED = ("qwen3", "gemma3", "minimax")
"""Prefixes of ``model_type`` whose queries and keys always have norms."""
BIASED = ("qwen2", "gpt_oss")
"""Prefixes of ``model_type`` whose query, key, and value projections always have a bias."""
WIDE_POSITIONS = ("gpt_oss", "deepseek", "kimi")
"""Prefixes of ``model_type`` whose tables of positions have 32 bits: by their code (gpt_oss.py of 0.32), or for
FlashInfer's kernels (deepseek_scaling_rope.py)."""
PLAIN = ("model.", "backbone.")
"""What the names of layers begin with in text models."""
WRAPPED = ("model.", "model.language_model.", "language_model.model.", "language_model.", "thinker.model.")
"""The same in multimodal models, whose wrappers rename the language model."""
UNKNOWN_FIELDS = {
    "block_configs": "layers of different widths",
    "compress_ratios": "attention over compressed tokens",
    "enable_moe_block": "experts beside a dense feed-forward part",
    "global_head_dim": "attention heads of several sizes",
    "hybrid_layer_pattern": "attention heads of several sizes",
    "hybrid_override_pattern": "layers of Mamba",
    "kv_share_layers": "layers that share a KV cache",
    "layers_block_type": "layers of Mamba",
    "linear_attn_config": "Kimi's linear attention",
    "mamba_d_state": "layers of Mamba",
    "num_kv_shared_layers": "layers that share a KV cache",
    "sparse_attention_config": "block-sparse attention",
    "ssm_state_size": "layers of Mamba",
}
"""Fields of features that the planner does not model; it must refuse them, because its numbers would be wrong."""


def read_architecture(config: Config) -> Architecture:
    """Return the shapes of a model.

    Args:
        config: content of ``config.json``; of a multimodal model the language model is planned, and its image encoder
            is counted.

    Raises:
        ConfigError: a field is missing or has an unknown form.
    """
    wrapped = config.get("text_config")
    if _kind(config) not in KNOWN and not (isinstance(wrapped, Mapping) and _kind(wrapped) in KNOWN):
        raise ConfigError(f'model_type "{_kind(config)}" is not known to the planner: its layers may have another form')
    inner = config.get("text_config")
    text: Config = {**config, **inner} if isinstance(inner, Mapping) else config
    layers = _layers(text)
    quantization = quantization_fields(text)
    read = read_quantization(quantization) if quantization else None
    if _kind(config) == "kimi_k3" and read and read.method == "mxfp4":
        # vLLM rewrites it to the method ``mxfp4``, which is for experts only (KimiK3ForConditionalGenerationConfig).
        read = dataclasses.replace(read, experts_only=True, skipped=())
    kinds = config.get("architectures") or text.get("architectures") or [str(text.get("model_type", "unknown"))]
    return Architecture(
        kind=str(kinds[0]),
        hidden=_number(text, "hidden_size"),
        vocabulary=_number(text, "vocab_size"),
        layers=layers,
        tied=bool(text.get("tie_word_embeddings", _kind(text).startswith("gemma"))),
        max_length=_number(text, "max_position_embeddings", "model_max_length"),
        position_bytes=_position_bytes(text, layers[0].attention),
        dtype_bytes=2,  # vLLM loads 32-bit checkpoints with 16 bits, too
        quantization=read,
        kv_dtype=kv_cache_dtype(quantization) if quantization else None,
        mtp_layers=int(text.get("num_nextn_predict_layers") or 0),
        extra_weights=_vision_elements(config.get("vision_config")),
        prefixes=WRAPPED if isinstance(inner, Mapping) else PLAIN,
    )


def _layers(config: Config) -> tuple[Layer, ...]:
    """Return the decoder layers: by the model's own file, or in the form that most models have."""
    if family := FAMILIES.get(_kind(config)):
        return tuple(family(config))
    _refuse_unknown(config)
    attention, mlp = _attention_of(config), _mlp_of(config)
    return tuple(Layer(attention(index), mlp(index)) for index in range(_number(config, "num_hidden_layers")))


def _refuse_unknown(config: Config) -> None:
    for name, meaning in UNKNOWN_FIELDS.items():
        if config.get(name):
            raise ConfigError(f"{name} shows that the model has {meaning}, which the planner does not support")


def _number(config: Config, *names: str) -> int:
    for name in names:
        value = config.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
    raise ConfigError(f"{names[0]} is missing or not a number: is this the config.json of a language model?")


def _kind(config: Config) -> str:
    return str(config.get("model_type", ""))


def _attention_of(config: Config) -> Callable[[int], Attention | LatentAttention | LinearAttention]:
    """Return a function that returns the attention of a layer by its index."""
    if config.get("kv_lora_rank"):
        latent = _latent(config)
        plain = dataclasses.replace(latent, index_heads=0)
        return lambda index: latent if _has_indexer(config, index) else plain
    heads = _number(config, "num_attention_heads")
    size = int(config.get("head_dim") or _number(config, "hidden_size") // heads)
    fields: dict[str, Any] = {
        "heads": heads,
        "kv_heads": int(config.get("num_key_value_heads") or heads),
        "key_size": size,
        "value_size": int(config.get("v_head_dim") or size),
        "gated": bool(config.get("attn_output_gate", _kind(config).startswith(("qwen3_next", "qwen3_5")))),
        "bias": bool(config.get("attention_bias", _kind(config).startswith(BIASED)))
        or _kind(config).startswith(BIASED),
        "output_bias": _kind(config) == "gpt_oss",
        "normed": bool(config.get("use_qk_norm", _kind(config).startswith(NORMED))),
    }
    full = Attention(**fields)
    variants = {
        "full_attention": full,
        "sliding_attention": Attention(**fields, window=config.get("sliding_window")),
        "chunked_attention": Attention(**fields, chunk=config.get("attention_chunk_size")),
    }
    names = layer_types(config)
    if "linear_attention" in names:
        linear = _linear(config)
        return lambda index: linear if names[index] == "linear_attention" else full
    unknown = set(names) - set(variants)
    if unknown:
        raise ConfigError(f"layer_types has {', '.join(sorted(unknown))}, which the planner does not support")
    return lambda index: variants[names[index]]


def layer_types(config: Config) -> list[str]:
    """Return the kind of attention of each layer, in the words of ``layer_types``."""
    count = _number(config, "num_hidden_layers")
    given = config.get("layer_types")
    if given:
        return [str(name) for name in given][:count]
    interval = config.get("full_attention_interval")
    if interval:
        return ["full_attention" if (index + 1) % interval == 0 else "linear_attention" for index in range(count)]
    chunk = config.get("attention_chunk_size")
    if chunk:
        rope = config.get("no_rope_layers") or [int((index + 1) % 4 != 0) for index in range(count)]
        return ["chunked_attention" if rope[index] else "full_attention" for index in range(count)]
    if not config.get("sliding_window") or config.get("use_sliding_window") is False:
        return ["full_attention"] * count
    pattern = 2 if _kind(config) == "gpt_oss" else int(config.get("sliding_window_pattern") or 1)
    if pattern == 1:
        return ["sliding_attention"] * count
    return ["full_attention" if (index + 1) % pattern == 0 else "sliding_attention" for index in range(count)]


def _latent(config: Config) -> LatentAttention:
    rank = config.get("q_lora_rank")
    return LatentAttention(
        heads=_number(config, "num_attention_heads"),
        query_rank=int(rank) if rank else None,
        kv_rank=_number(config, "kv_lora_rank"),
        rope_size=_number(config, "qk_rope_head_dim"),
        nope_size=_number(config, "qk_nope_head_dim"),
        value_size=_number(config, "v_head_dim"),
        index_heads=int(config.get("index_n_heads") or 0),
        index_size=int(config.get("index_head_dim") or 0),
        index_top=int(config.get("index_topk") or 0),
    )


def _has_indexer(config: Config, index: int) -> bool:
    """Return whether a layer of sparse attention picks tokens itself; the others take the last picked ones."""
    kinds = config.get("indexer_types")
    if kinds:
        return bool(kinds[index] == "full")
    pattern = config.get("index_topk_pattern")
    if pattern:
        return index >= len(pattern) or bool(pattern[index] != "S")
    every, offset = int(config.get("index_topk_freq") or 1), int(config.get("index_skip_topk_offset", 2))
    return max(index - offset + 1, 0) % every == 0


def _position_bytes(config: Config, attention: Mixer | None) -> int:
    """Return the bytes of the tables of rotary positions: one, longer when stretched, and one more for windows.

    After ``get_rope`` of 0.32; Gemma 3's windowed layers have a table of their own, which is never stretched.
    """
    if config.get("mla_use_nope"):
        return 0
    size = int(getattr(attention, "rope_size", 0) or getattr(attention, "key_size", 0))
    if getattr(attention, "index_size", 0) or _kind(config) in FAMILIES:
        size = int(config.get("rotary_dim") or size)
    rows = _number(config, "max_position_embeddings", "model_max_length")
    given: Config = config.get("rope_scaling") or config.get("rope_parameters") or {}
    scaling: Config = given.get("full_attention", given)
    linear = scaling.get("rope_type", scaling.get("type")) == "linear"
    second = rows if _kind(config).startswith("gemma3") else 0
    each = 4 if _kind(config).startswith(WIDE_POSITIONS) else 2
    return int(rows * float(scaling.get("factor", 1.0) if linear else 1.0) + second) * size * each


def _linear(config: Config) -> LinearAttention:
    return LinearAttention(
        key_heads=_number(config, "linear_num_key_heads"),
        value_heads=_number(config, "linear_num_value_heads"),
        key_size=_number(config, "linear_key_head_dim"),
        value_size=_number(config, "linear_value_head_dim"),
        convolution=_number(config, "linear_conv_kernel_dim"),
        state_bytes=4 if _state_dtype(config) == "float32" else 2,
    )


def _state_dtype(config: Config) -> str:
    """Return the type of the recurrent state, which is float32 for Qwen3.5 even if the file does not say so."""
    return str(config.get("mamba_ssm_dtype") or ("float32" if _kind(config).startswith("qwen3_5") else ""))


def _mlp_of(config: Config) -> Callable[[int], Dense | Experts]:
    """Return a function that returns the feed-forward part of a layer by its index."""
    count = next((int(config[name]) for name in _EXPERTS if config.get(name)), 0)
    if count <= 1:
        dense = Dense(_number(config, "intermediate_size"), bool(config.get("mlp_bias", False)))
        return lambda index: dense
    size = int(config.get("moe_intermediate_size") or _number(config, "intermediate_size"))
    llama4 = bool(config.get("intermediate_size_mlp"))
    shared = int(config.get("n_shared_experts") or config.get("num_shared_experts") or 0) * size
    experts = Experts(
        count=count,
        active=_number(config, "num_experts_per_tok", "experts_per_token", "top_k"),
        intermediate=size,
        shared=int(config.get("shared_expert_intermediate_size") or shared or (size if llama4 else 0)),
        shared_gate=bool(config.get("shared_expert_intermediate_size")),
        router_bias=config.get("topk_method") == "noaux_tc" or bool(config.get("use_routing_bias")),
        bias=_kind(config) == "gpt_oss",
    )
    other = Dense(int(config.get("intermediate_size_mlp") or config.get("intermediate_size") or size))
    is_sparse = _sparse_layers(config)
    return lambda index: experts if is_sparse(index) else other


_EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts")


def _sparse_layers(config: Config) -> Callable[[int], bool]:
    """Return a function that tells whether a layer has experts, by its index."""
    moe_layers = config.get("moe_layers")
    if moe_layers:
        return lambda index: index in moe_layers
    first = int(config.get("first_k_dense_replace") or 0)
    dense = set(config.get("mlp_only_layers") or [])
    step = int(config.get("decoder_sparse_step") or config.get("interleave_moe_layer_step") or 1)
    frequency = config.get("moe_layer_freq") or 1
    if isinstance(frequency, list):
        return lambda index: bool(frequency[index])
    if step > 1:
        return lambda index: (index + 1) % step == 0 and index not in dense
    return lambda index: index >= first and index not in dense and index % int(frequency) == 0


def _vision_elements(vision: object) -> int:
    """Return the approximate number of elements of an image encoder, by its projections and feed-forward parts."""
    if not isinstance(vision, Mapping):
        return 0
    hidden = int(vision.get("hidden_size") or vision.get("vt_hidden_size") or 0)
    inner = int(vision.get("intermediate_size") or vision.get("vt_intermediate_size") or 4 * hidden)
    layers = int(vision.get("num_hidden_layers") or vision.get("depth") or vision.get("vt_num_hidden_layers") or 0)
    return layers * (4 * hidden * hidden + 2 * hidden * inner)
