"""Step-3.5, Step-3.7, and Step-5: windows of other heads than full attention, and gates for each head.

Step-5 has an indexer over pooled tokens, too.

After ``step3p5.py`` and ``models/step5`` of vLLM 0.33.
"""

from __future__ import annotations

from collections.abc import Sequence

from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.grouped import Attention, Index
from vmn.core.planning.model.architecture import Config, Layer
from vmn.core.planning.model.form import Form

SUMMARY_BYTES = 256
"""Bytes of the summary of a region of tokens (``sparse_summary_cache.py``)."""
TAIL_BYTES = 1024
"""Bytes of a token in the ring of a region that is open (``csa_tail_ring.py``)."""
WORKSPACE = (128 + 8) * 2**20
"""Bytes of the workspace of all layers with an indexer: floating-point numbers (``flashinfer_sparse.py``), and integers
of FlashInfer's own (``BatchPrefillWithPagedKVCacheWrapper``)."""
STATES = 5
"""States of 16 bits that are alive while a part of a layer of Step-5 runs: the residual and the output of the previous
part, both in 32 bits, and the norm of their sum (``Step5DecoderLayer.forward``)."""


def step(config: Config) -> Form:
    """Return the form.

    Raises:
        LookupError: a field is missing, or a list is shorter than the number of layers.
    """
    sparse, experts = _expert_layers(config), _experts(config)
    dense = Dense(int(config["intermediate_size"]))
    full, window = _attention(config, is_local=False), _attention(config, is_local=True)
    layers = tuple(
        Layer.of(
            window if config["layer_types"][index] == "sliding_attention" else full,
            experts if index in sparse else dense,
        )
        for index in range(int(config["num_hidden_layers"]))
    )
    states = STATES if full.index and config.get("fp32_residual_connection") else 0.0
    return Form(layers, packs_pages=full.index is not None, states=states)


def _expert_layers(config: Config) -> Sequence[int]:
    named = config.get("moe_layers_enum")
    if named:
        return [int(index) for index in (named.split(",") if isinstance(named, str) else named)]
    return range(int(config.get("first_k_dense_replace") or 0), int(config["num_hidden_layers"]))


def _attention(config: Config, is_local: bool) -> Attention:
    heads = int(config["num_attention_heads"])
    other = config.get("attention_other_setting") or {}
    if is_local:
        own = config.get("num_sliding_attention_heads") or config.get("swa_num_attention_heads")
        heads = int(own or other.get("num_attention_heads") or heads)
    size, index = int(config["head_dim"]), _index(config)
    return Attention(
        heads=heads,
        kv_heads=int(config.get("num_attention_groups") or config["num_key_value_heads"]),
        key_size=size,
        value_size=size,
        window=int(config["sliding_window"]) if is_local else None,
        gate=heads if config.get("use_head_wise_attn_gate", True) else 0,
        normed=True,
        index=None if is_local else index,
        # Norms copy the queries; where kernels do not apply the gate, it copies the output.
        copies_of_queries=0 if index is None else 2 if is_local else 1,
    )


def _index(config: Config) -> Index | None:
    """Return the indexer of Step-5, None without one.

    Fields and their defaults are those of ``Step5SparseConfig``, which ignores others (``config.py``).
    """
    given = config.get("sparse_config")
    if given is None or given.get("enabled") is False:
        return None
    region = int(given.get("region_block_size") or 8)
    return Index(
        heads=int(given.get("sparse_indexer_num_heads") or 16),
        size=int(given.get("proxy_dim") or 256),
        key_bytes=SUMMARY_BYTES,
        pool=region,
        row_bytes=TAIL_BYTES,
        whole_ring=True,
        groups=int(given.get("index_tp_size") or given.get("num_provider_groups") or 4),
        keys=2,
        rope_size=int(given.get("sparse_indexer_rope_dim") or 32),
        page=region,
        workspace=WORKSPACE,
    )


def _experts(config: Config) -> Experts:
    return Experts(
        count=int(config.get("moe_num_experts") or config["num_experts"]),
        active=int(config.get("moe_top_k") or config["num_experts_per_tok"]),
        intermediate=int(config["moe_intermediate_size"]),
        shared=int(config.get("share_expert_dim") or 0),
        router_bias=bool(config.get("use_moe_router_bias")),
        router_bytes=4.0 if config.get("need_fp32_gate", True) else None,
    )
