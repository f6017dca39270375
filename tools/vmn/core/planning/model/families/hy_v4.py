"""Hunyuan V4: sparse latent attention with gates and sinks, where layers share picked tokens, and residual streams.

After ``models/hy_v4`` of vLLM 0.33.
"""

from __future__ import annotations

from dataclasses import replace

from vmn.core.planning.blocks.drafts import DraftInput
from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.blocks.streams import HyperConnections
from vmn.core.planning.model.architecture import Config, ConfigError, Layer
from vmn.core.planning.model.families.deepseek_v4 import head_bytes
from vmn.core.planning.model.families.experts import equal_experts
from vmn.core.planning.model.families.latent import latent_attention
from vmn.core.planning.model.form import Form

GATES = {"headwise": 1, "elementwise": 0}
"""Elements of a head's gate by ``gating_type``, 0 for as many as the head's output has."""
STATES = 2
"""States of all tokens in addition to the streams: the input of a part of a layer, and its output."""
MERGE_STATES = 5
"""States of all tokens for each stream when they are merged: the stream, and two copies of it in 32 bits, in one of
which each element is squared or weighted (``HYV4HCHeadLayer.forward``)."""


def hy_v4(config: Config) -> Form:
    """Return the form.

    Raises:
        ConfigError: a field has a value that vLLM refuses; the message is vLLM's own.
        LookupError: a field is missing.
    """
    count = int(config["num_hidden_layers"])
    kinds = [str(kind) for kind in config["indexer_types"]]
    if len(kinds) != count:
        raise ConfigError(
            f"indexer_types must contain one entry per hidden layer: expected {count} entries, got {len(kinds)}."
        )
    if unknown := sorted(set(kinds) - {"full", "shared"}):
        raise ConfigError(f"indexer_types only supports 'full' and 'shared', got {', '.join(unknown)}.")
    parts = {"dense": Dense(int(config["intermediate_size"])), "sparse": _experts(config)}
    streams = HyperConnections(int(config["hc_mult"]), 2 * int(config["hc_mult"])) if config.get("enable_ihc") else None
    layers = tuple(
        Layer.of(_latent(config, kind == "full"), parts[config["mlp_layer_types"][index]], streams)
        for index, kind in enumerate(kinds)
    )
    draft = Layer.of(DraftInput(), _latent(config, True), parts["sparse"], streams)
    return Form(
        layers,
        drafts=(draft,) * int(config.get("num_nextn_predict_layers") or 0),
        rotated=int(config["qk_rope_head_dim"]),
        streams=streams.streams if streams else 1,
        states=STATES + streams.streams if streams else 0.0,
        merge_states=MERGE_STATES * streams.streams if streams else 0.0,
        last_weights=head_bytes(config) if streams else 0.0,
    )


def _latent(config: Config, has_indexer: bool) -> LatentAttention:
    latent = latent_attention(config)
    kind = str(config.get("gating_type"))
    if config.get("gated_mla") and kind not in GATES:
        raise ConfigError(f"Unknown gating type: {kind}")
    return replace(
        latent,
        query_rank=int(config["q_lora_rank"]),
        index_heads=int(config["index_n_heads"]) if has_indexer else 0,
        index_size=int(config["index_head_dim"]),
        index_top=int(config["index_topk"]),
        decompressed=True,
        gate=latent.heads * (GATES[kind] or latent.value_size) if config.get("gated_mla") else 0,
        sinks=bool(config.get("learnable_sink")),
    )


def _experts(config: Config) -> Experts:
    return replace(equal_experts(config, "n_routed_experts", "n_shared_experts"), router_bias=True, router_bytes=4.0)
