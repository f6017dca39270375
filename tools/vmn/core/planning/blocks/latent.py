"""Multi-head latent attention (MLA), with or without the indexer of DeepSeek's sparse attention."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.block import Matrix, Mixer, ProfileStep, WeightShare
from vmn.core.planning.blocks.cache_spec import CacheForm, CacheSpec
from vmn.core.planning.gpus import BLACKWELL, BLACKWELL_WORKSTATION, HOPPER

SPARSE_BLOCK = 64
"""Tokens of a block of DeepSeek's sparse attention (FLASHMLA_SPARSE)."""
INDEX_ROWS = 8
"""Keys of 132 bytes for each prompt token that fit into the workspace of 576 16-bit elements a token."""
KERNEL_ROWS = 64
"""Rows that kernels of sparse attention read at once, so that blocks are whole multiples apart."""
INDEX_SCALES = 4
"""Bytes of scales for an indexer's key in 8 bits."""
RECORD = 656
"""Bytes of a compressed key and value of sparse attention in 8 bits (``fp8_ds_mla``)."""
SPARSE_CAPABILITIES = (HOPPER, BLACKWELL, BLACKWELL_WORKSTATION)
"""Compute capabilities with kernels of sparse attention (vLLM 0.32, the backends FLASHMLA_SPARSE and
FLASHINFER_MLA_SPARSE, ``supports_compute_capability``)."""
CONTEXT_TOKENS = 64 * 1024
"""Tokens that latent attention decompresses at once, at most (``determine_chunked_prefill_workspace_size``)."""
QUERY_STEP = 64
"""Multiple to which the kernels of sparse attention pad the query heads."""
LONG_PROMPT = 256 * 1024
"""Tokens from which a prompt is long for the buffers of sparse attention (``sparse_mla_prefill_workspace_factor``)."""


@dataclass(frozen=True)
class LatentAttention(Mixer):
    """Multi-head latent attention (MLA): all heads share one compressed key and value.

    Attributes:
        heads: query heads.
        query_rank: elements of a compressed query, None if queries are not compressed.
        kv_rank: elements of a compressed key and value.
        rope_size: elements of a head with positions, which the keys of all heads share.
        nope_size: elements of a head without positions.
        value_size: elements of a value's head.
        index_heads: heads of the indexer of DeepSeek's sparse attention, 0 in a layer without one.
        index_size: elements of an indexer's head.
        index_top: tokens that the indexer selects, 0 in a model without sparse attention.
        index_pool: tokens that share a key of the indexer (GLM-5.3-Flash), 1 otherwise.
        gate: elements of the output's gate (Kimi K3, Hy4: as many as the output; Ling: one for each head), 0 without.
        sinks: whether each head has a sink of 32 bits.
        window: tokens that the layer looks back, None for all.
        decompressed: whether vLLM's profile decompresses prompts even if an indexer picks tokens.
        groups_layers: whether layers that share picked tokens also share their places in the cache.
    """

    heads: int
    query_rank: int | None
    kv_rank: int
    rope_size: int
    nope_size: int
    value_size: int
    index_heads: int = 0
    index_size: int = 0
    index_top: int = 0
    index_pool: int = 1
    gate: int = 0
    sinks: bool = False
    window: int | None = None
    decompressed: bool = False
    groups_layers: bool = False

    @property
    def capabilities(self) -> tuple[int, ...]:
        return SPARSE_CAPABILITIES if self.index_top else ()

    @property
    def split_heads(self) -> int:
        return self.heads

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        heads = self.heads / share.tensor
        size = self.nope_size + self.rope_size
        if self.query_rank:
            yield Matrix("attention", "self_attn.q_a_proj", share.hidden * self.query_rank, "fused_qkv_a_proj")
            yield Matrix("attention", "self_attn.q_b_proj", self.query_rank * heads * size)
        else:
            yield Matrix("attention", "self_attn.q_proj", share.hidden * heads * size)
        compressed = share.hidden * (self.kv_rank + self.rope_size)
        yield Matrix("attention", "self_attn.kv_a_proj_with_mqa", compressed, "fused_qkv_a_proj")
        decompressing = self.kv_rank * heads * (self.nope_size + self.value_size)  # also as W_UK_T and W_UV
        yield Matrix("attention", "self_attn.kv_b_proj", decompressing, restored=True)
        output = heads * self.value_size
        yield Matrix("attention", "self_attn.o_proj", output * share.hidden, columns=output)
        yield Matrix("attention", "self_attn.g_proj", share.hidden * self.gate / share.tensor)
        yield Matrix("attention", "self_attn.norms", (self.query_rank or 0) + self.kv_rank, plain=True)
        yield Matrix("attention", "self_attn.sinks", heads * self.sinks, each=4.0)
        yield from self._indexer(share)

    def _indexer(self, share: WeightShare) -> Iterator[Matrix]:
        if not self.index_heads:
            return
        rank = self.query_rank or share.hidden
        yield Matrix("attention", "self_attn.indexer.wq_b", rank * self.index_heads * self.index_size)
        yield Matrix("attention", "self_attn.indexer.wk", share.hidden * self.index_size)
        yield Matrix("attention", "self_attn.indexer.weights_proj", share.hidden * self.index_heads, plain=True)

    def least_block(self, form: CacheForm) -> int:
        return SPARSE_BLOCK if self.index_top else super().least_block(form)

    def token_bytes(self, form: CacheForm) -> int:
        return (self.kv_rank + self.rope_size) * form.element

    def row_bytes(self, form: CacheForm) -> int:
        """Return the bytes of a token's compressed key and value."""
        return RECORD if self.index_top and form.fp8 and form.capability != BLACKWELL else self.token_bytes(form)

    def caches(self, form: CacheForm) -> Iterator[CacheSpec]:
        row = self.row_bytes(form)
        if self.window:
            yield CacheSpec("window", form.block, form.block * row, self.window, latent=True)
            return
        stride = row * (KERNEL_ROWS if row == RECORD else 1)
        yield CacheSpec("full", form.block, form.block * row, stride=stride if self.index_top else 1, latent=True)
        if self.index_heads:
            key = self.index_size + INDEX_SCALES
            page, whole = form.block // self.index_pool * key, KERNEL_ROWS * key
            yield CacheSpec("full", form.block, page, stride=whole if page % whole == 0 else 1, latent=True)
        if self.index_heads and self.index_pool > 1:
            yield self._tail(form)

    def _tail(self, form: CacheForm) -> CacheSpec:
        """Return the ring of keys and gates that are not pooled yet (``Glm5NextTailCache``)."""
        pools = -(-(self.index_pool + form.drafted) // self.index_pool)
        ring = self.index_pool * 2 ** math.ceil(math.log2(pools))
        return CacheSpec("ring", ring, ring * 2 * self.index_size * 2, states=1, sharded=False)

    def peak(self, step: ProfileStep) -> float:
        rows = step.tokens * 2 / step.layout.tensor
        size = self.nope_size + self.rope_size + self.value_size
        if self._stays_compressed(step):
            size = 2 * self.kv_rank + self.rope_size
        return rows * (self.heads * size + self.gate)

    def buffer(self, step: ProfileStep) -> float:
        """Return what the profile allocates to decompress keys and values, and for the indexer's logits."""
        if step.vllm.since < (0, 8):
            return 0.0
        if self._stays_compressed(step):
            return step.vllm.index_logits
        context = min(max(8 * step.length, 4 * step.requests * 16), CONTEXT_TOKENS)
        decompressed = context * self.heads * (self.nope_size + self.value_size) * 2 / step.layout.tensor
        return max(decompressed, step.vllm.index_logits if self.index_top else 0.0)

    def _stays_compressed(self, step: ProfileStep) -> bool:
        return self.index_top > 0 and step.vllm.sparse_absorbed and not self.decompressed

    def workspace(self, step: ProfileStep) -> float:
        """Return the bytes for the indexer's keys of prompts (``get_max_prefill_buffer_size``)."""
        if not self.index_heads:
            return 0.0
        return prompt_rows(step) * INDEX_ROWS // self.index_pool * (self.index_size + INDEX_SCALES)

    def early_workspace(self, step: ProfileStep) -> float:
        """Return what FlashMLA's sparse attention reserves when it is created (``FlashMLASparseImpl``).

        With an FP8 cache, it runs in all models; with one of 16 bits only where heads have sinks, which other kernels
        do not take (``HYV4MLAAttention._resolve_sink_backend``), and then it reserves only the queries.
        """
        if not self.index_top:
            return 0.0
        size = self.kv_rank + self.rope_size
        heads = self.heads // step.layout.tensor
        padded = -(-heads // QUERY_STEP) * QUERY_STEP
        if not step.fp8_cache:
            return step.tokens * padded * size * 2.0 if self.sinks else 0.0
        rows = prompt_rows(step) * size + step.tokens * heads * size
        if step.vllm.sparse_outputs:
            rows += step.tokens * (padded * (size + self.kv_rank) + heads * self.kv_rank)
        return rows * 2.0

    def buffers(self, step: ProfileStep) -> float:
        """Return the bytes of the tokens that the indexer has picked."""
        return step.tokens * self.index_top * 4 if self.index_heads else 0.0

    def own_buffers(self, step: ProfileStep) -> float:
        """Return the bytes of where the picked tokens are in the cache (``SparseMLAIndexGroupBuilder`` of 0.33).

        Where layers form groups, the first of a group has them, with a row for each token of a decoding step. Other
        models leave out the builder, so that each layer has them, with a row for each token of a step.
        """
        if not step.vllm.index_groups or (self.groups_layers and not self.index_heads):
            return 0.0
        rows = min(step.tokens, step.requests * (1 + step.drafted)) if self.groups_layers else step.tokens
        return (rows + 1) * self.index_top * 4.0


def prompt_rows(step: ProfileStep) -> int:
    """Return the number of prompt tokens for which sparse attention reserves room."""
    return step.length * (step.vllm.sparse_factor if step.length > LONG_PROMPT else 5)
