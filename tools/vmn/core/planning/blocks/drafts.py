"""What a layer for multi-token prediction has in addition to the blocks of a decoder layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.block import Block, Matrix, WeightShare


@dataclass(frozen=True)
class DraftInput(Block):
    """The projection that joins a token's embedding with its state (``eh_proj``), whole on each rank.

    Attributes:
        plain: whether it is never quantized.
    """

    plain: bool = True

    @property
    def norms(self) -> int:
        return 3

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        yield Matrix("feed-forward", "eh_proj", 2 * share.hidden * share.hidden, plain=self.plain)
