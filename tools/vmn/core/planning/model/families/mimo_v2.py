"""MiMo V2: windows in most layers, values narrower than keys, sinks, and experts in MXFP4.

After ``mimo_v2.py`` of vLLM 0.33.
"""

from __future__ import annotations

from dataclasses import replace

from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.model.architecture import Config, Layer, Rule
from vmn.core.planning.model.families.experts import equal_experts
from vmn.core.planning.model.form import Form


def mimo_v2(config: Config) -> Form:
    """Return the form: a window where ``hybrid_layer_pattern`` is 1, experts where ``moe_layer_freq`` is.

    Raises:
        LookupError: a field is missing, or a list is shorter than the number of layers.
    """
    full, window = _attention(config, is_local=False), _attention(config, is_local=True)
    dense, experts = Dense(int(config["intermediate_size"])), _experts(config)
    layers = tuple(
        Layer.of(
            window if config["hybrid_layer_pattern"][index] else full,
            experts if config["moe_layer_freq"][index] else dense,
        )
        for index in range(int(config["num_hidden_layers"]))
    )
    rotated = int(full.key_size * float(config.get("partial_rotary_factor") or 1.0))
    return Form(layers, rotated=rotated, rules=_rules(config))


def _attention(config: Config, is_local: bool) -> Attention:
    prefix, kind = ("swa_", "swa") if is_local else ("", "full")
    size = int(config[f"{prefix}head_dim"])
    return Attention(
        heads=int(config[f"{prefix}num_attention_heads"]),
        kv_heads=int(config[f"{prefix}num_key_value_heads"]),
        key_size=size,
        value_size=int(config.get(f"{prefix}v_head_dim") or size),
        window=int(config["sliding_window"]) if is_local else None,
        sinks=bool(config.get(f"add_{kind}_attention_sink_bias")),
    )


def _experts(config: Config) -> Experts:
    return replace(equal_experts(config, "n_routed_experts", "n_shared_experts"), router_bias=True, router_bytes=4.0)


def _rules(config: Config) -> tuple[Rule, ...]:
    """Return the limit of fused projections, which are stored in as many parts as there are key and value heads."""
    if config.get("attention_projection_layout") != "fused_qkv":
        return ()
    parts = int(config["num_key_value_heads"])
    return (
        Rule(
            "tensor",
            parts,
            f"the checkpoint has fused projections in {parts} parts, which more ranks can't share",
            "the padded [Q | K V pad] gather requires per-chunk scales, tp_size a proper divisor below ckpt_tp",
        ),
    )
