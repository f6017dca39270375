"""MiniMax-M3: grouped-query attention whose indexer picks blocks of tokens, and experts.

After ``models/minimax_m3`` of vLLM 0.33; no start was measured.
"""

from __future__ import annotations

import dataclasses

from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.grouped import Attention, Index
from vmn.core.planning.model.architecture import Config, Layer
from vmn.core.planning.model.form import Form

SPARSE_BLOCK = 128
"""Tokens of a block, as its kernels pick blocks of that size."""


def minimax_m3(config: Config) -> Form:
    """Return the form: layers by ``sparse_attention_freq`` with an indexer, by ``moe_layer_freq`` with experts.

    Raises:
        LookupError: a field is missing, or a list is shorter than the number of layers.
    """
    sparse = config["sparse_attention_config"]
    size = int(config["head_dim"])
    full = Attention(int(config["num_attention_heads"]), int(config["num_key_value_heads"]), size, size, normed=True)
    key = int(sparse["sparse_index_dim"])
    index = Index(int(sparse["sparse_num_index_heads"]), key, key_bytes=2 * key, block=SPARSE_BLOCK)
    indexed = dataclasses.replace(full, index=index)
    dense, experts = Dense(int(config["dense_intermediate_size"])), _experts(config)
    layers = tuple(
        Layer.of(
            indexed if sparse["sparse_attention_freq"][layer] else full,
            experts if config["moe_layer_freq"][layer] else dense,
        )
        for layer in range(int(config["num_hidden_layers"]))
    )
    return Form(layers, rotated=int(config.get("rotary_dim") or size))


def _experts(config: Config) -> Experts:
    return Experts(
        count=int(config["num_local_experts"]),
        active=int(config["num_experts_per_tok"]),
        intermediate=int(config["intermediate_size"]),
        shared=int(config.get("shared_intermediate_size") or 0) * int(config.get("n_shared_experts") or 0),
        router_bias=bool(config.get("use_routing_bias")),
    )
