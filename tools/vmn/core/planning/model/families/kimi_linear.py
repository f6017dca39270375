"""Kimi K3 and Kimi Linear: Kimi delta attention, latent attention in every few layers, and experts on a latent width.

After ``models/kimi_k3`` of vLLM 0.33.
"""

from __future__ import annotations

from dataclasses import replace

from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.blocks.states import KimiDeltaAttention
from vmn.core.planning.model.architecture import Config, ConfigError, Layer
from vmn.core.planning.model.families.experts import equal_experts
from vmn.core.planning.model.families.latent import latent_attention
from vmn.core.planning.model.form import Form


def kimi_linear(config: Config) -> Form:
    """Return the form; ``linear_attn_config`` counts them from 1.

    Raises:
        ConfigError: a layer has neither kind of attention.
    """
    linear = config["linear_attn_config"]
    delta = KimiDeltaAttention(
        heads=int(linear["num_heads"]),
        size=int(linear["head_dim"]),
        convolution=int(linear["short_conv_kernel_size"]),
        full_gate=bool(linear.get("use_full_rank_gate")),
    )
    latent, dense, experts = _latent(config), Dense(int(config["intermediate_size"])), _experts(config)
    full, kda = set(linear["full_attn_layers"]), set(linear["kda_layers"])
    first = int(config.get("first_k_dense_replace") or 0)
    step = int(config.get("moe_layer_freq") or 1)
    layers = []
    for index in range(int(config["num_hidden_layers"])):
        if index + 1 not in full | kda:
            raise ConfigError(f"linear_attn_config says nothing about layer {index + 1}")
        mixer = latent if index + 1 in full else delta
        layers.append(Layer.of(mixer, experts if index >= first and index % step == 0 else dense))
    return Form(tuple(layers), rotated=0 if config.get("mla_use_nope") else None)


def _latent(config: Config) -> LatentAttention:
    latent = latent_attention(config)
    return replace(latent, gate=latent.heads * latent.value_size if config.get("mla_use_output_gate") else 0)


def _experts(config: Config) -> Experts:
    return replace(
        equal_experts(config, "num_experts", "num_shared_experts", "num_experts_per_token"),
        router_bias=True,
        latent=int(config.get("routed_expert_hidden_size") or 0),
    )
