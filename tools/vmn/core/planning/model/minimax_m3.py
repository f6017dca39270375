"""MiniMax-M3: grouped-query attention whose indexer picks blocks of tokens, and experts.

After ``models/minimax_m3`` of vLLM 0.33; no start was measured.
"""

from __future__ import annotations

import dataclasses

from vmn.core.planning.model.architecture import Attention, Config, Dense, Experts, Layer


def minimax_layers(config: Config) -> list[Layer]:
    """Return the layers: by ``sparse_attention_freq`` with an indexer, by ``moe_layer_freq`` with experts.

    Raises:
        LookupError: a field is missing, or a list is shorter than the number of layers.
    """
    sparse = config["sparse_attention_config"]
    size = int(config["head_dim"])
    full = Attention(int(config["num_attention_heads"]), int(config["num_key_value_heads"]), size, size, normed=True)
    indexed = dataclasses.replace(
        full, index_heads=int(sparse["sparse_num_index_heads"]), index_size=int(sparse["sparse_index_dim"])
    )
    dense, experts = Dense(int(config["dense_intermediate_size"])), _experts(config)
    return [
        Layer(
            indexed if sparse["sparse_attention_freq"][index] else full,
            experts if config["moe_layer_freq"][index] else dense,
        )
        for index in range(int(config["num_hidden_layers"]))
    ]


def _experts(config: Config) -> Experts:
    return Experts(
        count=int(config["num_local_experts"]),
        active=int(config["num_experts_per_tok"]),
        intermediate=int(config["intermediate_size"]),
        shared=int(config.get("shared_intermediate_size") or 0) * int(config.get("n_shared_experts") or 0),
        router_bias=bool(config.get("use_routing_bias")),
    )
