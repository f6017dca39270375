"""Latent attention of the fields that DeepSeek's models have, and others took over."""

from __future__ import annotations

from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.model.architecture import Config


def latent_attention(config: Config) -> LatentAttention:
    """Return latent attention without an indexer or a gate; queries are not compressed without ``q_lora_rank``.

    Raises:
        KeyError: a field is missing.
    """
    rank = config.get("q_lora_rank")
    return LatentAttention(
        heads=int(config["num_attention_heads"]),
        query_rank=int(rank) if rank else None,
        kv_rank=int(config["kv_lora_rank"]),
        rope_size=int(config["qk_rope_head_dim"]),
        nope_size=int(config["qk_nope_head_dim"]),
        value_size=int(config["v_head_dim"]),
    )
