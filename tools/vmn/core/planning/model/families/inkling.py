"""Inkling: windows of other heads than full attention, short convolutions, and shared experts that are routed.

After ``models/inkling`` of vLLM 0.33.
"""

from __future__ import annotations

from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.blocks.short_convolution import ShortConvolution
from vmn.core.planning.model.architecture import Config, Layer, Rule
from vmn.core.planning.model.form import Form


def inkling(config: Config) -> Form:
    """Return the form.

    Raises:
        LookupError: a field is missing.
    """
    local = set(config["local_layer_ids"])
    layers = []
    for index in range(int(config["num_hidden_layers"])):
        attention = _attention(config, "swa_" if index in local else "")
        convolution = ShortConvolution(
            attention.kv_heads, attention.key_size, int(config["hidden_size"]), int(config["sconv_kernel_size"])
        )
        dense = index < int(config["dense_mlp_idx"])
        part = Dense(int(config["dense_intermediate_size"])) if dense else _experts(config)
        layers.append(Layer.of(convolution, attention, part))
    fewest = min(int(config[f"{prefix}num_key_value_heads"]) for prefix in ("", "swa_"))
    return Form(tuple(layers), rotated=0, embedding_is_copied=True, rules=(_whole_heads(fewest),))


def _whole_heads(heads: int) -> Rule:
    """Return the rule that a rank has whole key and value heads, for the cache of the convolutions."""
    return Rule(
        "tensor",
        heads,
        f"ranks can't share {heads} KV heads, whose convolutions have a cache of their own",
        f"sconv SWA cache supports tp_size <= num_kv_heads ({heads})",
    )


def _attention(config: Config, prefix: str) -> Attention:
    heads, size = int(config[f"{prefix}num_attention_heads"]), int(config[f"{prefix}head_dim"])
    return Attention(
        heads=heads,
        kv_heads=int(config[f"{prefix}num_key_value_heads"]),
        key_size=size,
        value_size=size,
        window=int(config["sliding_window_size"]) if prefix else None,
        gate=heads * int(config["d_rel"]),  # the relative positions, which are projected like a gate
        normed=True,
    )


def _experts(config: Config) -> Experts:
    width, shared = int(config["intermediate_size"]), int(config.get("n_shared_experts") or 0)
    return Experts(
        count=int(config["n_routed_experts"]),
        active=int(config["num_experts_per_tok"]),
        intermediate=width,
        shared=width * shared,
        router_bias=True,
        idle=shared,
    )
