"""Compressed sparse attention of DeepSeek V4: a window, and several tokens of what lies behind it in one row.

After ``models/deepseek_v4`` and ``v1/attention/backends/mla/sparse_swa.py`` of vLLM 0.33.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.block import Matrix, Mixer, ProfileStep, WeightShare
from vmn.core.planning.blocks.cache_spec import CacheForm, CacheSpec, aligned
from vmn.core.planning.blocks.latent import INDEX_ROWS, INDEX_SCALES, SPARSE_CAPABILITIES, prompt_rows

CACHE_BLOCK = 256
"""Tokens of a block of compressed rows (``--block-size``, which the kernels raise to this)."""
WINDOW_BLOCK = 64
"""Tokens of a block of the window (``DeepseekV4SWACache``)."""
ROW = 584
"""Bytes of a row: 448 of 8 bits, 128 of 16-bit positions, and 8 of scales."""
PAGE_STEP = 576
"""Bytes of which a page is a multiple (``alignment``)."""
STATE_BLOCKS = {4: 4, 128: 8}
"""Tokens of a block of what is being compressed, by ratio (``CompressorStateCache``)."""
INDEXED_RATIO = 4
"""The ratio of layers with an indexer; they also compress with an overlap of one group."""
PADDED_HEADS = (64, 128)
"""Numbers of query heads to which FlashMLA pads those of a rank (``get_padded_num_q_heads``)."""
GATHERED_PROMPTS = 4
"""Prompts whose rows are gathered in 16 bits at once (``PREFILL_CHUNK_SIZE``)."""


@dataclass(frozen=True)
class CompressedAttention(Mixer):
    """Attention with one key for all heads, over a window and over compressed rows.

    Attributes:
        heads: query heads.
        size: elements of a head, and of a row.
        rope_size: elements of a head with positions.
        query_rank: elements of a compressed query.
        output_rank: elements of a compressed output of each group.
        output_groups: groups of heads whose outputs are compressed together.
        window: tokens of the window.
        ratio: tokens of a compressed row, 0 in a layer with only a window.
        index_heads: heads of the indexer.
        index_size: elements of an indexer's head.
        index_top: rows that the indexer selects.
    """

    heads: int
    size: int
    rope_size: int
    query_rank: int
    output_rank: int
    output_groups: int
    window: int
    ratio: int
    index_heads: int
    index_size: int
    index_top: int

    @property
    def split_heads(self) -> int:
        return self.heads

    @property
    def positions(self) -> tuple[str, int]:
        """One table in 32 bits for the window's layers, and one for those of compressed rows."""
        return ("rows" if self.ratio else "window"), self.rope_size * 4

    @property
    def capabilities(self) -> tuple[int, ...]:
        return SPARSE_CAPABILITIES

    def refused_cache(self, dtype: str) -> str:
        if dtype == "auto" or dtype.startswith("fp8"):
            return ""
        return (
            f"DeepseekV4 fp8_ds_mla layout only supports fp8 kv-cache, got {dtype}. Please set `--kv-cache-dtype fp8` "
            "or select a backend that supports bfloat16 KV cache."
        )

    @property
    def is_indexed(self) -> bool:
        """Whether the layer has an indexer."""
        return self.ratio == INDEXED_RATIO

    @property
    def _overlap(self) -> int:
        return 2 if self.is_indexed else 1

    @property
    def _scores(self) -> int:
        """The elements that the compressors make of a token: values, and the weights of their sums."""
        if not self.ratio:
            return 0
        return 2 * self._overlap * (self.size + (self.index_size if self.is_indexed else 0))

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        yield from self._projections(share)
        if self.ratio:
            yield from self._compressor("attn.compressor", share.hidden, self.size)
        if self.is_indexed:
            yield from self._picker(share)
            yield from self._compressor("attn.indexer.compressor", share.hidden, self.index_size)

    def _projections(self, share: WeightShare) -> Iterator[Matrix]:
        hidden, heads = share.hidden, self.heads / share.tensor
        yield Matrix("attention", "attn.wq_a", hidden * (self.query_rank + self.size), "fused_wqa_wkv")
        yield Matrix("attention", "attn.wq_b", self.query_rank * heads * self.size)
        yield Matrix("attention", "attn.wo_a", heads * self.size * self.output_rank, batched=True)
        output = self.output_groups * self.output_rank / share.tensor
        yield Matrix("attention", "attn.wo_b", output * hidden, columns=output)
        yield Matrix("attention", "attn.q_norm", self.query_rank + self.size, plain=True)
        yield Matrix("attention", "attn.attn_sink", self.padded_heads(share.tensor), each=4.0)

    def _picker(self, share: WeightShare) -> Iterator[Matrix]:
        yield Matrix("attention", "attn.indexer.wq_b", self.query_rank * self.index_heads * self.index_size)
        yield Matrix("attention", "attn.indexer.weights_proj", share.hidden * self.index_heads, plain=True)

    def _compressor(self, module: str, hidden: int, size: int) -> Iterator[Matrix]:
        yield Matrix("attention", f"{module}.wkv", 2 * self._overlap * size * hidden, plain=True)
        yield Matrix("attention", f"{module}.ape", self.ratio * self._overlap * size, each=4.0)
        yield Matrix("attention", f"{module}.norm", size, plain=True)

    def padded_heads(self, tensor: int) -> int:
        """Return the query heads of a rank as the kernels pad them."""
        heads = self.heads // tensor
        return next((count for count in PADDED_HEADS if heads <= count), heads)

    def least_block(self, form: CacheForm) -> int:
        return CACHE_BLOCK

    def caches(self, form: CacheForm) -> Iterator[CacheSpec]:
        yield CacheSpec("window", WINDOW_BLOCK, aligned(WINDOW_BLOCK * ROW, PAGE_STEP), self.window, latent=True)
        if not self.ratio:
            return
        rows = form.block // self.ratio
        if self.is_indexed:
            key = self.index_size + INDEX_SCALES
            yield CacheSpec("full", form.block, aligned(rows * key, PAGE_STEP), latent=True)
            yield self._state(self.index_size)
        yield CacheSpec("full", form.block, aligned(rows * ROW, PAGE_STEP), latent=True)
        yield self._state(self.size)

    def _state(self, size: int) -> CacheSpec:
        """Return the cache of what is being compressed: sums and scores in 32 bits."""
        block = STATE_BLOCKS[self.ratio]
        page = aligned(block * 2 * self._overlap * size * 4, PAGE_STEP)
        return CacheSpec("window", block, page, self._overlap * self.ratio, latent=True)

    def peak(self, step: ProfileStep) -> float:
        """Return what is alive while the indexer picks rows (``DeepseekV4Attention.forward``).

        These are the queries and the outputs, both of the padded heads; the compressed queries and the keys, before and
        after their norms; the scores of the compressors in 32 bits; and the indexer's queries in 8 bits with a weight
        in 32 bits for each head.
        """
        padded = 2 * 2 * self.padded_heads(step.layout.tensor) * self.size
        joined = 2 * 2 * (self.query_rank + self.size)
        picking = self.index_heads * (self.index_size + 4) if self.is_indexed else 0
        return step.tokens * (padded + joined + 4 * self._scores + picking)

    def buffer(self, step: ProfileStep) -> float:
        return step.vllm.index_logits if self.is_indexed else 0.0

    def workspace(self, step: ProfileStep) -> float:
        """Return the larger of the indexer's keys of prompts and the rows of gathered prompts."""
        keys = self._index_rows(step) * (self.index_size + INDEX_SCALES) if self.is_indexed else 0
        return max(keys, self._gathered(step))

    def _index_rows(self, step: ProfileStep) -> int:
        return prompt_rows(step) * INDEX_ROWS // self.ratio

    def _gathered(self, step: ProfileStep) -> float:
        """Return the rows of some prompts in 16 bits, and the numbers of the picked rows (``forward_mqa``)."""
        behind = step.length // self.ratio if self.ratio else 0
        picked = aligned((self.index_top if self.ratio else 0) + self.window, 128) + 1
        rows = behind + self.window + step.tokens
        return GATHERED_PROMPTS * rows * self.size * 2 + step.tokens * picked * 4

    def buffers(self, step: ProfileStep) -> float:
        """Return the bytes of the rows that the indexer has picked."""
        return step.tokens * self.index_top * 4
