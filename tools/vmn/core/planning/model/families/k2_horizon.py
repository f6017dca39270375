"""K2 Horizon: layers with experts also have experts for values (MoVA), of which each rank has a part.

After ``k2_horizon.py`` of vLLM 0.33.
"""

from __future__ import annotations

from dataclasses import replace

from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.model.architecture import Config, Layer
from vmn.core.planning.model.families.experts import equal_experts
from vmn.core.planning.model.form import Form


def k2_horizon(config: Config) -> Form:
    """Return the form.

    Raises:
        LookupError: a field is missing.
    """
    plain, routed = _attention(config, values=1), _attention(config, int(config.get("mova_num_experts") or 0) or 1)
    dense, experts = Dense(int(config["intermediate_size"])), _experts(config)
    without, step = set(config.get("mlp_only_layers") or []), int(config.get("decoder_sparse_step") or 1)
    layers = []
    for index in range(int(config["num_hidden_layers"])):
        is_sparse = index not in without and (index + 1) % step == 0
        layers.append(Layer.of(routed if is_sparse else plain, experts if is_sparse else dense))
    return Form(tuple(layers), rotated=int(config.get("rope_head_dim") or config["head_dim"]))


def _attention(config: Config, values: int) -> Attention:
    heads, size = int(config["num_attention_heads"]), int(config["head_dim"])
    return Attention(
        heads=heads,
        kv_heads=int(config["num_key_value_heads"]),
        key_size=size,
        value_size=size,
        gate=heads * size if config.get("attention_gate_func") else 0,
        bias=bool(config.get("attention_bias")),
        normed=bool(config.get("query_key_norm")),
        values=values,
    )


def _experts(config: Config) -> Experts:
    return replace(
        equal_experts(config, "num_experts", "num_shared_experts"), router_bias=bool(config.get("moe_gate_bias"))
    )
