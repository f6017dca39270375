"""Compressed attention of DeepSeek V4.1, where a few layers own the compressed rows that all later layers read.

After ``models/deepseek_v41`` of vLLM 0.33.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.block import Matrix, ProfileStep, WeightShare
from vmn.core.planning.blocks.cache_spec import CacheForm, CacheSpec, aligned
from vmn.core.planning.blocks.compressed import PAGE_STEP, ROW, CompressedAttention
from vmn.core.planning.blocks.latent import INDEX_SCALES
from vmn.core.planning.gpus import BLACKWELL

WINDOW_BLOCK = 32
"""Tokens of a block of the window."""
BLOCK, BLACKWELL_BLOCK = 64, 128
"""Tokens of a block of compressed rows, the second on data center GPUs of Blackwell: the only size that the kernels of
attention and of the indexer take (``get_supported_kernel_block_sizes`` in ``sparse_mla.py`` and ``indexer.py``)."""
BLACKWELL_ROW, BLACKWELL_STEP = 528, 512
"""Bytes of a row in MXFP8, and of which a page is a multiple, on data center GPUs of Blackwell."""
SMALL_ROW = 288
"""Bytes of a compressed row in NVFP4, which only FlashMLA's mega attention reads (``compressed_bytes_per_token``)."""
MEGA_HEADS = 8
"""Heads of a group of outputs that mega attention takes (``WV_GROUP_SIZE``)."""
RING = 8
"""Fewest rows of the ring of what is being compressed."""


@dataclass(frozen=True)
class SourcedAttention(CompressedAttention):
    """A layer of V4.1.

    Attributes:
        is_source: whether the layer owns compressed rows, and the indexer's keys with them.
        picks: whether the layer has an indexer of its own.
        candidates: blocks of rows that one indexer leaves to those of later layers, 0 if each looks at all rows.
    """

    is_source: bool = False
    picks: bool = False
    candidates: int = 0

    def refused_cache(self, dtype: str) -> str:
        if dtype == "auto" or dtype.startswith("fp8"):
            return ""
        return f"DeepseekV4 packed KV layouts only support fp8 kv-cache, got {dtype}."

    @property
    def is_indexed(self) -> bool:
        return self.picks

    @property
    def _overlap(self) -> int:
        return 1

    @property
    def _scores(self) -> int:
        return (2 if self.ratio > 1 else 1) * self.size if self.is_source else 0

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        yield from self._projections(share)
        if self.is_source:
            yield Matrix("attention", "attn.compressor.wkv", self._scores * share.hidden, plain=True)
            yield Matrix("attention", "attn.compressor.norm", self.size, plain=True)
            yield Matrix("attention", "attn.indexer.wk", self.size * self.index_size, plain=True)
        if self.picks:
            yield from self._picker(share)

    def caches(self, form: CacheForm) -> Iterator[CacheSpec]:
        row, kept, step, stride = ROW, ROW, PAGE_STEP, 1
        if form.capability == BLACKWELL:
            row, step = BLACKWELL_ROW, BLACKWELL_STEP
            kept = SMALL_ROW if self._has_mega_attention(form.tensor) else row
            stride = math.lcm(row, kept)
        page = aligned(WINDOW_BLOCK * row, step)
        yield CacheSpec("window", WINDOW_BLOCK, page, self.window, stride=stride, latent=True)
        if not self.is_source:
            return
        rows = form.block // self.ratio
        yield CacheSpec("full", form.block, aligned(rows * (self.index_size + INDEX_SCALES), step), latent=True)
        yield CacheSpec("full", form.block, aligned(rows * kept, step), latent=True)
        if self.ratio > 1:  # sums and scores in 32 bits
            ring = max(RING, 1 << (form.drafted + 1).bit_length())
            yield CacheSpec("ring", ring, ring * 2 * self.size * 4, states=1)

    def _has_mega_attention(self, tensor: int) -> bool:
        """Return whether Blackwell's kernel takes the groups of a rank (``DeepseekV4MegaAttnAttention``)."""
        return self.output_groups % tensor == 0 and self.heads == MEGA_HEADS * self.output_groups

    def least_block(self, form: CacheForm) -> int:
        return BLACKWELL_BLOCK if form.capability == BLACKWELL else BLOCK

    def buffer(self, step: ProfileStep) -> float:
        return step.vllm.index_logits if self.picks else 0.0

    def workspace(self, step: ProfileStep) -> float:
        keys = self._index_rows(step) * (self.index_size + INDEX_SCALES) if self.picks else 0
        return max(keys, self._gathered(step))

    def buffers(self, step: ProfileStep) -> float:
        """Return the bytes of the rows and the candidates that indexers have picked (``candidate_block_buffer``)."""
        return super().buffers(step) + step.tokens * self.candidates * 4
