"""Grouped-query attention, with windows, chunks, or an indexer that picks blocks of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.block import Matrix, Mixer, ProfileStep, WeightShare
from vmn.core.planning.blocks.cache_spec import CacheForm, CacheSpec, Kind, aligned

GATED_QUERIES = 7
"""Tensors of the size of all queries at the peak of attention with a gate (``Qwen3NextAttention.forward`` of 0.33): the
projection of queries and gates, both of them separately, the output, the gate's sigmoid, and their product."""
FUSED_QUERIES = 2
"""Those of them that compiled code does not keep: the sigmoid, and the product."""


@dataclass(frozen=True)
class Index:
    """What picks tokens or blocks of tokens for grouped-query attention.

    Each rank has all of it, unless its heads have groups.

    Attributes:
        heads: heads of its queries.
        size: elements of a head.
        key_bytes: bytes of a stored key.
        pool: tokens that share a stored key.
        block: tokens of which a block of the cache is a multiple.
        row_bytes: bytes of a token that is not pooled yet, in a ring of its own; 0 without a ring.
        whole_ring: whether that ring is as large as a block of keys and values (Step-5).
        top: numbers of picked tokens in a row of a buffer for all tokens of a step.
        keeps_top: whether each layer has a buffer of its own for them (``topk_indices_buffer`` of Qwen4).
        groups: groups of its heads, which ranks share; 1 if each rank has all of them.
        keys: projections of a token's key: a second one weighs it in the key of its region (Step-5).
        rope_size: elements of a head with positions in a table of their own, 0 without one.
        page: tokens of the pages that kernels read: blocks lie apart by a whole number of them; 0 without a limit.
        workspace: bytes of the workspace that exists before vLLM has loaded the weights.
    """

    heads: int
    size: int
    key_bytes: int
    pool: int = 1
    block: int = 16
    row_bytes: int = 0
    whole_ring: bool = False
    top: int = 0
    keeps_top: bool = False
    groups: int = 1
    keys: int = 1
    rope_size: int = 0
    page: int = 0
    workspace: int = 0


@dataclass(frozen=True)
class Attention(Mixer):
    """Grouped-query attention: each query head has a key and value head, which several heads may share.

    Attributes:
        heads: query heads.
        kv_heads: key and value heads.
        key_size: elements of a query's or key's head.
        value_size: elements of a value's head.
        window: tokens that sliding-window attention looks back, None for all.
        chunk: tokens of a chunk of chunked local attention, None for all.
        gated: whether the query projection also returns a gate of its own size (Qwen3-Next).
        gate: elements of a gate with a projection of its own, 0 without one.
        bias: whether the projections of query, key, and value have a bias.
        output_bias: whether the output projection has a bias.
        normed: whether queries and keys have norms of a head's size.
        sinks: whether each head has a sink of 32 bits.
        values: value projections, of which a router picks some for each token (K2 Horizon), 1 for most models.
        index: what picks the tokens of sparse attention, None without it.
        copies_of_queries: tensors of the size of all queries that are alive beside the queries and the output.
    """

    heads: int
    kv_heads: int
    key_size: int
    value_size: int
    window: int | None = None
    chunk: int | None = None
    gated: bool = False
    gate: int = 0
    bias: bool = False
    output_bias: bool = False
    normed: bool = False
    sinks: bool = False
    values: int = 1
    index: Index | None = None
    copies_of_queries: int = 0

    @property
    def split_heads(self) -> int:
        return self.heads

    @property
    def positions(self) -> tuple[str, int] | None:
        return ("index", self.index.rope_size * 2) if self.index and self.index.rope_size else None

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        query = self.heads * self.key_size * (2 if self.gated else 1) / share.tensor
        kv_heads = max(1, self.kv_heads // share.tensor)
        key, value = kv_heads * self.key_size, kv_heads * self.value_size
        yield Matrix("attention", "self_attn.q_proj", share.hidden * query, "qkv_proj")
        yield Matrix("attention", "self_attn.k_proj", share.hidden * key, "qkv_proj")
        if self.values == 1:
            yield Matrix("attention", "self_attn.v_proj", share.hidden * value, "qkv_proj")
        else:
            yield Matrix("attention", "self_attn.v_experts.0", share.hidden * value * self.values, "v_experts")
            yield Matrix("routers", "self_attn.v_router", share.hidden * self.values)
        output = self.heads * self.value_size / share.tensor
        yield Matrix("attention", "self_attn.o_proj", output * share.hidden, columns=output)
        yield Matrix("attention", "self_attn.g_proj", share.hidden * self.gate / share.tensor)
        if self.index:
            heads = self.index.heads / min(self.index.groups, share.tensor)
            rows = (heads + self.index.keys) * self.index.size
            yield Matrix("attention", "self_attn.index_q_proj", share.hidden * rows)
        biases = (query + key + value) * self.bias + share.hidden * self.output_bias
        norms = 2 * self.key_size * self.normed
        yield Matrix("attention", "self_attn.bias", biases + norms, plain=True)
        yield Matrix("attention", "self_attn.sinks", self.heads / share.tensor * self.sinks, each=4.0)

    def least_block(self, form: CacheForm) -> int:
        return self.index.block if self.index else super().least_block(form)

    def token_bytes(self, form: CacheForm) -> int:
        return max(1, self.kv_heads // form.tensor) * (self.key_size + self.value_size) * form.element

    def caches(self, form: CacheForm) -> Iterator[CacheSpec]:
        kind: Kind = "window" if self.window else "chunk" if self.chunk else "full"
        page = form.block * self.token_bytes(form)
        whole = self.index.page if self.index else 0
        stride = whole * self.token_bytes(form) if 0 < whole < form.block else 1
        yield CacheSpec(kind, form.block, page, self.window or self.chunk or 0, stride=stride)
        if self.index:
            yield CacheSpec("full", form.block, form.block // self.index.pool * self.index.key_bytes, latent=True)
        if self.index and self.index.row_bytes:
            rows = aligned(self.index.pool + form.drafted, self.index.pool)
            ring = page if self.index.whole_ring else rows * self.index.row_bytes
            stride = self.index.row_bytes if self.index.whole_ring else 1
            yield CacheSpec("ring", form.block if self.index.whole_ring else rows, ring, states=1, stride=stride)

    def peak(self, step: ProfileStep) -> float:
        kv_heads = max(self.kv_heads, step.layout.tensor)
        rows = step.tokens * 2 / step.layout.tensor
        if self.gated:
            copies = GATED_QUERIES + (0 if step.eager else -FUSED_QUERIES)
            return rows * (copies * self.heads + 3 * kv_heads) * self.key_size
        copies = self.copies_of_queries * self.heads * self.key_size
        return rows * ((self.heads + kv_heads) * (self.key_size + self.value_size) + self.gate + copies)

    def buffers(self, step: ProfileStep) -> float:
        """Return the bytes of the numbers of the picked tokens, and of the workspace of the kernels that pick them."""
        if not self.index:
            return 0.0
        return self.index.workspace + (0.0 if self.index.keeps_top else self._picked(step))

    def own_buffers(self, step: ProfileStep) -> float:
        return self._picked(step) if self.index and self.index.keeps_top else 0.0

    def _picked(self, step: ProfileStep) -> float:
        return step.tokens * self.index.top * 4.0 if self.index else 0.0
