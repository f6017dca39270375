"""Laguna: grouped-query attention with a gate, and as many query heads as each layer says.

After ``laguna.py`` of vLLM 0.33.
"""

from __future__ import annotations

from dataclasses import replace

from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.model.architecture import Config, Layer
from vmn.core.planning.model.families.experts import experts_beside_a_wide_one
from vmn.core.planning.model.form import Form


def laguna(config: Config) -> Form:
    """Return the form.

    Raises:
        LookupError: a field is missing, or a list is shorter than the number of layers.
    """
    count = int(config["num_hidden_layers"])
    kinds = config.get("mlp_layer_types") or ["dense", *["sparse"] * (count - 1)]
    parts = {"dense": Dense(int(config["intermediate_size"])), "sparse": _experts(config)}
    return Form(tuple(Layer.of(_attention(config, index), parts[kinds[index]]) for index in range(count)))


def _attention(config: Config, index: int) -> Attention:
    given = config.get("num_attention_heads_per_layer")
    heads = int(given[index]) if given else int(config["num_attention_heads"])
    size = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    kinds, gating = config.get("layer_types"), config.get("gating")
    is_local = (kinds or {index: ""})[index] == "sliding_attention"
    for_heads = heads if gating in (True, "per-head") else heads * size
    return Attention(
        heads=heads,
        kv_heads=int(config["num_key_value_heads"]),
        key_size=size,
        value_size=size,
        window=int(config["sliding_window"]) if is_local else None,
        gate=for_heads if gating else 0,
        bias=bool(config.get("attention_bias")),
        output_bias=bool(config.get("attention_bias")),
        normed=True,
    )


def _experts(config: Config) -> Experts:
    return replace(experts_beside_a_wide_one(config), router_bias=True)
