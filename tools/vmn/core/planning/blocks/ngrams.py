"""Lookups of n-grams in large tables, whose rows are mixed into the residual streams of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.block import Block, Matrix, ProfileStep, WeightShare
from vmn.core.planning.blocks.cache_spec import CacheForm
from vmn.core.planning.blocks.states import State


@dataclass(frozen=True)
class Engram(Block):
    """A lookup of DeepSeek V4.1 (``models/deepseek_v41/common/engram.py``); its table is not part of the block.

    Attributes:
        width: elements that all tables return for a token.
        streams: residual streams of a token.
    """

    width: int
    streams: int

    @property
    def norms(self) -> int:
        return 2 * self.streams

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        rows = share.hidden * (self.streams + 1) / share.tensor
        yield Matrix("feed-forward", "engram.wkv", self.width * rows)

    def own_buffers(self, step: ProfileStep) -> float:
        """Return the bytes of the rows of a step, which stay (``staged_rows``)."""
        return step.tokens * step.layout.data * self.width * 2 / step.layout.tensor


@dataclass(frozen=True)
class LayerEmbedding(State):
    """A lookup of Qwen4 with a short convolution (``models/qwen4_exp/nvidia/ple_layer.py``), whole on each rank.

    Attributes:
        width: elements that all tables return for a token.
        streams: residual streams of a token.
        hidden: elements of a token's state.
        convolution: tokens of the convolution.
        dilation: distance between those tokens.
        heads: rows of the table that are looked up for a token.
    """

    width: int
    streams: int
    hidden: int
    convolution: int
    dilation: int
    heads: int = 0

    @property
    def norms(self) -> int:
        return 3 * self.streams

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        yield Matrix("feed-forward", "ple.kv_proj", self.width * share.hidden * (self.streams + 1))
        yield Matrix("feed-forward", "ple.conv1d", self.streams * share.hidden * self.convolution, plain=True)

    def checkpoint_grid(self, form: CacheForm) -> int | None:
        return 1 if form.vllm.checkpoint_grid else None

    def state_bytes(self, form: CacheForm) -> int:
        tokens = (self.convolution - 1) * self.dilation + form.drafted
        return 2 * tokens * self.streams * self.hidden

    def own_buffers(self, step: ProfileStep) -> float:
        """Return the bytes of the numbers of the rows (``_prefetch_ids``), in 64 bits."""
        return step.tokens * self.heads * 8.0

    def kept(self, step: ProfileStep) -> float:
        """Return the bytes of the rows of a step, which come from the host while the layer before runs."""
        return step.tokens * self.width * 2.0
