"""Models whose layers have the form that most models have: attention, and a dense part or experts.

``TRAITS`` (``traits.py``) has a row for each; what differs within that form follows from it and from names of fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from vmn.core.planning.blocks.block import FeedForward, Mixer
from vmn.core.planning.blocks.drafts import DraftInput
from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.blocks.states import LinearAttention
from vmn.core.planning.model.architecture import Config, ConfigError, Layer
from vmn.core.planning.model.form import Form
from vmn.core.planning.model.mtp import mtp_of
from vmn.core.planning.model.traits import TRAITS, Traits


def plain(config: Config) -> Form:
    """Return the form.

    Raises:
        ConfigError: a field is missing or has an unknown form.
    """
    traits = TRAITS[kind_of(config)]
    attention, mlp = _attention_of(config, traits), _mlp_of(config, traits)
    count = number(config, "num_hidden_layers")
    layers = tuple(Layer.of(attention(index), mlp(index)) for index in range(count))
    mtp = mtp_of(kind_of(config), config)
    return Form(layers, (_draft(layers),) * (mtp.depth if mtp else 0), rules=traits.rules)


def _draft(layers: Sequence[Layer]) -> Layer:
    """Return a layer for multi-token prediction: full attention, with an indexer if others have one."""
    mixers = [layer.attention for layer in layers if isinstance(layer.attention, Attention | LatentAttention)]
    whole = [mixer for mixer in mixers if not mixer.window]
    own = next((mixer for mixer in whole if getattr(mixer, "index_heads", 0)), whole[-1] if whole else mixers[-1])
    return Layer.of(DraftInput(), own, layers[-1].mlp)


def number(config: Config, *names: str) -> int:
    """Return the first of some fields as a number.

    Raises:
        ConfigError: none of them is a number.
    """
    for name in names:
        value = config.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
    raise ConfigError(f"{names[0]} is missing or not a number: is this the config.json of a language model?")


def kind_of(config: Config) -> str:
    """Return ``model_type``."""
    return str(config.get("model_type", ""))


def _attention_of(config: Config, traits: Traits) -> Callable[[int], Mixer]:
    """Return a function that returns the attention of a layer by its index."""
    if config.get("kv_lora_rank"):
        latent = _latent(config)
        plain = dataclasses.replace(latent, index_heads=0)
        return lambda index: latent if _has_indexer(config, index) else plain
    heads = number(config, "num_attention_heads")
    size = int(config.get("head_dim") or number(config, "hidden_size") // heads)
    value = int(config.get("v_head_dim") or size)
    kind = traits.gate if config.get("attn_output_gate", True) else None
    fields: dict[str, Any] = {
        "heads": heads,
        "kv_heads": int(config.get("num_key_value_heads") or heads),
        "key_size": size,
        "value_size": value,
        "gated": kind == "query" or bool(config.get("attn_output_gate")),
        "gate": {"output": heads * value, "head": heads}.get(kind or "", 0),
        "bias": traits.biased or bool(config.get("attention_bias", False)),
        "output_bias": traits.output_biased,
        "normed": traits.normed or bool(config.get("use_qk_norm", False)),
    }
    full = Attention(**fields)
    variants = {
        "full_attention": full,
        "sliding_attention": Attention(**fields, window=_window(config, traits)),
        "chunked_attention": Attention(**fields, chunk=config.get("attention_chunk_size")),
    }
    if windows := config.get("sliding_windows"):
        local = [dataclasses.replace(full, window=int(window) if window else None) for window in windows]
        return lambda index: local[index]
    names = layer_types(config, traits)
    if "linear_attention" in names:
        linear = _linear(config, traits)
        return lambda index: linear if names[index] == "linear_attention" else full
    if "sliding_attention" in names and not config.get("sliding_window"):
        raise ConfigError("layer_types has sliding_attention, but sliding_window is missing")
    unknown = set(names) - set(variants)
    if unknown:
        raise ConfigError(f"layer_types has {', '.join(sorted(unknown))}, which the planner does not support")
    return lambda index: variants[names[index]]


def _window(config: Config, traits: Traits) -> int | None:
    window = config.get("sliding_window")
    return int(window) + traits.wider_window if window else None


def layer_types(config: Config, traits: Traits) -> list[str]:
    """Return the kind of attention of each layer, in the words of ``layer_types``."""
    count = number(config, "num_hidden_layers")
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
    given = config.get("global_attn_every_n_layers") or config.get("sliding_window_pattern")
    pattern = int(given or traits.pattern)
    if pattern == 1:
        return ["sliding_attention"] * count
    return ["full_attention" if (index + 1) % pattern == 0 else "sliding_attention" for index in range(count)]


def _latent(config: Config) -> LatentAttention:
    rank = config.get("q_lora_rank")
    return LatentAttention(
        heads=number(config, "num_attention_heads"),
        query_rank=int(rank) if rank else None,
        kv_rank=number(config, "kv_lora_rank"),
        rope_size=number(config, "qk_rope_head_dim"),
        nope_size=number(config, "qk_nope_head_dim"),
        value_size=number(config, "v_head_dim"),
        index_heads=int(config.get("index_n_heads") or 0),
        index_size=int(config.get("index_head_dim") or 0),
        index_top=int(config.get("index_topk") or 0),
        groups_layers=True,
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


def _linear(config: Config, traits: Traits) -> LinearAttention:
    return LinearAttention(
        key_heads=number(config, "linear_num_key_heads"),
        value_heads=number(config, "linear_num_value_heads"),
        key_size=number(config, "linear_key_head_dim"),
        value_size=number(config, "linear_value_head_dim"),
        convolution=number(config, "linear_conv_kernel_dim"),
        recurrent_bytes={"float32": 4, "": traits.recurrent}.get(str(config.get("mamba_ssm_dtype") or ""), 2),
    )


def _mlp_of(config: Config, traits: Traits) -> Callable[[int], FeedForward]:
    """Return a function that returns the feed-forward part of a layer by its index."""
    count = next((int(config[name]) for name in _EXPERTS if config.get(name)), 0)
    if count <= 1:
        dense = Dense(number(config, "intermediate_size"), bool(config.get("mlp_bias", False)))
        return lambda index: dense
    size = int(config.get("moe_intermediate_size") or number(config, "intermediate_size"))
    llama4 = bool(config.get("intermediate_size_mlp"))
    shared = int(config.get("n_shared_experts") or config.get("num_shared_experts") or 0) * size
    experts = Experts(
        count=count,
        active=number(config, "num_experts_per_tok", "experts_per_token", "top_k"),
        intermediate=size,
        shared=int(config.get("shared_expert_intermediate_size") or shared or (size if llama4 else 0)),
        shared_gate=bool(config.get("shared_expert_intermediate_size")),
        router_bias=traits.router_biased
        or config.get("topk_method") == "noaux_tc"
        or bool(config.get("use_routing_bias")),
        bias=traits.output_biased,
        latent=int(config.get(traits.latent) or 0),
        router_bytes=traits.router_bytes,
    )
    other = Dense(int(config.get("intermediate_size_mlp") or config.get("intermediate_size") or size))
    is_sparse = _sparse_layers(config)
    return lambda index: experts if is_sparse(index) else other


TYPED = ("axk1", "beam", "exaone_moe", "muse_spark_text")
"""Models whose vLLM code takes the kind of a feed-forward part from ``mlp_layer_types``."""
_EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts")


def _sparse_layers(config: Config) -> Callable[[int], bool]:
    """Return a function that tells whether a layer has experts, by its index."""
    moe_layers = config.get("moe_layers")
    if moe_layers:
        return lambda index: index in moe_layers
    kinds = config.get("mlp_layer_types")
    if kinds and kind_of(config) in TYPED:
        return lambda index: bool(kinds[index] == "sparse")
    first = int(config.get("first_k_dense_replace") or config.get("num_dense_layers") or 0)
    dense = set(config.get("mlp_only_layers") or [])
    step = int(config.get("decoder_sparse_step") or config.get("interleave_moe_layer_step") or 1)
    frequency = config.get("moe_layer_freq") or 1
    if isinstance(frequency, list):
        return lambda index: bool(frequency[index])
    if step > 1:
        return lambda index: (index + 1) % step == 0 and index not in dense
    return lambda index: index >= first and index not in dense and index % int(frequency) == 0
