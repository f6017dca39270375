"""GLM-5.3-Flash: Kimi delta attention, and sparse latent attention without positions whose indexer pools keys.

After ``models/glm5next`` of vLLM 0.33.
"""

from __future__ import annotations

from dataclasses import replace

from vmn.core.planning.blocks.block import Mixer
from vmn.core.planning.blocks.drafts import DraftInput
from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.blocks.states import KimiDeltaAttention
from vmn.core.planning.gpus import BLACKWELL
from vmn.core.planning.model.architecture import Config, ConfigError, Layer
from vmn.core.planning.model.families.deepseek_v4 import head_bytes, hyper_connections
from vmn.core.planning.model.families.experts import equal_experts
from vmn.core.planning.model.families.latent import latent_attention
from vmn.core.planning.model.form import Form

FP8_CACHE_ON = (BLACKWELL,)
"""Compute capabilities on which vLLM takes an FP8 cache ("Using fp8 KV cache for GLM-5.3-Flash")."""


def glm5_next(config: Config) -> Form:
    """Return the form.

    Raises:
        ConfigError: a layer has another kind of attention.
        LookupError: a field is missing, or a list is shorter than the number of layers.
    """
    linear = config["linear_attn_config"]
    delta = KimiDeltaAttention(
        heads=int(linear["num_heads"]),
        size=int(linear["head_dim"]),
        convolution=int(linear["short_conv_kernel_size"]),
    )
    mixers: dict[str, Mixer] = {"linear_attention": delta, "deepseek_sparse_attention": _latent(config)}
    parts = {"dense": Dense(int(config["intermediate_size"])), "sparse": _experts(config)}
    streams = hyper_connections(config) if config.get("mhc") else None
    layers = []
    for index in range(int(config["num_hidden_layers"])):
        kind = str(config["layer_types"][index])
        if kind not in mixers:
            raise ConfigError(f"layer_types has {kind}, which the planner does not know for this model")
        layers.append(Layer.of(mixers[kind], parts[config["mlp_layer_types"][index]], streams))
    draft = Layer.of(DraftInput(), mixers["deepseek_sparse_attention"], parts["sparse"], streams)
    return Form(
        tuple(layers),
        drafts=(draft,) * int(config.get("num_nextn_predict_layers") or 0),
        rotated=int(config["qk_rope_head_dim"]),
        streams=streams.streams if streams else 1,
        last_weights=head_bytes(config) if streams else 0.0,
        fp8_cache_on=FP8_CACHE_ON,
        packs_pages=True,
        unquantized=("self_attn",),  # checkpoints have no scales for attention
    )


def _latent(config: Config) -> LatentAttention:
    return replace(
        latent_attention(config),
        query_rank=int(config["q_lora_rank"]),
        index_heads=int(config["index_n_heads"]),
        index_size=int(config["index_head_dim"]),
        index_top=int(config["index_topk"]),
        decompressed=True,
        index_pool=int(config["index_kpool"]),
    )


def _experts(config: Config) -> Experts:
    return replace(
        equal_experts(config, "n_routed_experts", "n_shared_experts"),
        router_bias=True,
        router_bytes=4.0 if config.get("moe_router_dtype") == "float32" else None,
    )
