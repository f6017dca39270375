"""Hyper-connections: several residual streams, which small matrices mix before and after each part of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.block import Block, Matrix, WeightShare


@dataclass(frozen=True)
class HyperConnections(Block):
    """The mixing matrices of a layer (``hc_attn_fn``, ``hc_ffn_fn``) on each rank.

    Attributes:
        streams: residual streams of a token.
        mixes: rows of a matrix: weights before and after a part, and between streams.
        rank: elements of a low-rank form of the matrices (Qwen4), 0 for whole ones.
        element_bytes: bytes of an element.
        parts: parts of the layer that have such a matrix.
    """

    streams: int
    mixes: int
    rank: int = 0
    element_bytes: float = 4.0
    parts: int = 2

    @property
    def norms(self) -> int:
        return 0

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        width = self.streams * share.hidden
        each = (2 * self.rank + self.mixes + 1) * width if self.rank else self.mixes * (width + 1) + 3
        yield Matrix("feed-forward", "hc_fn", self.parts * each, each=self.element_bytes)
