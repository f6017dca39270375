"""What one block of one layer keeps in the KV cache, as data (``v1/kv_cache_interface.py`` of vLLM 0.33)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.vllm.versions import Behaviour

Kind = Literal["full", "window", "chunk", "state", "ring"]
"""``full``: all tokens of a request; ``window``, ``chunk``: the last ones; ``state``: a state of fixed size; ``ring``:
one block for what is still being compressed."""


BLOCK = 16
"""Tokens of a block by default (``CacheConfig.DEFAULT_BLOCK_SIZE``)."""


@dataclass(frozen=True)
class CacheForm:
    """What the caches of a block depend on.

    Attributes:
        layout: layout of the model.
        vllm: behaviour of the version.
        fp8: whether the cache has 8 bits.
        block: tokens of a block (``--block-size``, or what vLLM makes of it).
        capability: first number of the GPU's compute capability, None when it is not known.
        drafted: tokens that speculative decoding drafts in a step.
    """

    layout: Layout
    vllm: Behaviour
    fp8: bool = False
    block: int = BLOCK
    capability: int | None = None
    drafted: int = 0

    @property
    def element(self) -> int:
        """The bytes of an element."""
        return 1 if self.fp8 else 2

    @property
    def tensor(self) -> int:
        """The number of ranks that share a layer."""
        return self.layout.tensor


@dataclass(frozen=True)
class CacheSpec:
    """A cache of a layer.

    Attributes:
        kind: which tokens it keeps.
        block: tokens of a block.
        page: bytes of a block.
        reach: tokens of the window or chunk, 0 for other kinds.
        states: blocks of a request if they do not depend on its length, otherwise 0.
        stride: bytes of which the distance between blocks is a multiple.
        latent: whether rows are compressed, so that a page can't be padded.
        sharded: whether decode context ranks share its tokens.
    """

    kind: Kind
    block: int
    page: int
    reach: int = 0
    states: int = 0
    stride: int = 1
    latent: bool = False
    sharded: bool = True

    def blocks(self, length: int, in_flight: int, shards: int) -> int:
        """Return the blocks that a request takes.

        Args:
            length: tokens of the request.
            in_flight: tokens of the batches in flight.
            shards: ranks that share the tokens.
        """
        match self.kind:
            case "window":  # one more, as the ends of a window need not align with blocks
                return -(-min(self.reach - 1 + in_flight, length) // self.block) + 1
            case "chunk":
                return -(-min(self.reach + in_flight, length) // self.block)
            case "full":
                return -(-(-(-length // shards) if self.sharded else length) // self.block)
            case _:
                return self.states

    def is_like(self, other: CacheSpec) -> bool:
        """Return whether both always take the same number of blocks, so that they can share a table of blocks."""
        return self._blocks_alone == other._blocks_alone

    @cached_property
    def _blocks_alone(self) -> CacheSpec:
        """Return what its number of blocks depends on, with fixed values for the rest."""
        page = self.page if self.kind == "state" else 0
        return replace(self, page=page, stride=1, latent=self.latent and self.is_local)

    @property
    def is_local(self) -> bool:
        """Whether it keeps only the last tokens."""
        return self.kind in ("window", "chunk")


def aligned(size: int, step: int) -> int:
    """Return a size rounded up to a multiple."""
    return -(-size // step) * step
