"""Short convolutions of Inkling over keys, values, and the outputs of attention and feed-forward parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.block import Block, Matrix, WeightShare
from vmn.core.planning.blocks.cache_spec import CacheForm, CacheSpec


@dataclass(frozen=True)
class ShortConvolution(Block):
    """The convolutions of a layer, whose last tokens are a window of their own (``sconv_swa_attn.py``).

    Attributes:
        kv_heads: key and value heads of the layer.
        size: elements of a head.
        hidden: elements of a token's state.
        kernel: tokens of the convolution.
    """

    kv_heads: int
    size: int
    hidden: int
    kernel: int

    @property
    def norms(self) -> int:
        return 0

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        rows = 2 * self.kv_heads * self.size + 2 * share.hidden
        yield Matrix("attention", "sconv", rows * self.kernel / share.tensor, plain=True)

    def caches(self, form: CacheForm) -> Iterator[CacheSpec]:
        width = 2 * self.size + 2 * (self.hidden // self.kv_heads)
        packed = 1 << (width - 1).bit_length()
        page = self.kernel * max(1, self.kv_heads // form.tensor) * packed * 2
        yield CacheSpec("window", self.kernel, page, self.kernel)
