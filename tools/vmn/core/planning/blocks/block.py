"""What each kind of block says about itself: the matrices, the caches, and the activations of one rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.cache_spec import BLOCK, CacheForm, CacheSpec
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.allocator import Storage
from vmn.core.planning.vllm.versions import Behaviour


@dataclass(frozen=True)
class Matrix:
    """A weight as one rank has it.

    Attributes:
        group: purpose of the weight.
        module: name of its module, for the patterns of modules that are not quantized.
        elements: number of elements on this rank.
        tensor: tensor that vLLM stores it in, together with others; by default its own.
        plain: whether it is never quantized.
        each: bytes of an element if they do not depend on the model's type.
        columns: columns on this rank, if ranks share the columns instead of the rows; otherwise 0.
        restored: whether vLLM keeps a 16-bit copy next to the weight, for kernels that read it in another form.
        batched: whether it is a batch of matrices, one for each group of heads, which needs a kernel of its own.
    """

    group: str
    module: str
    elements: float
    tensor: str = ""
    plain: bool = False
    each: float | None = None
    columns: float = 0.0
    restored: bool = False
    batched: bool = False


@dataclass(frozen=True)
class WeightShare:
    """What the matrices of a block depend on.

    Attributes:
        hidden: elements of a token's state.
        layout: layout of the model.
        storage: how weights are stored in memory.
        packed: whether routed experts are stored in MXFP4, whose kernels have forms of their own.
    """

    hidden: int
    layout: Layout
    storage: Storage
    packed: bool = False

    @property
    def tensor(self) -> int:
        """The number of ranks that share a layer."""
        return self.layout.tensor


@dataclass(frozen=True)
class ProfileStep:
    """The largest step of a rank, as vLLM's profile runs it.

    Attributes:
        tokens: ``--max-num-batched-tokens``.
        requests: ``--max-num-seqs``.
        length: ``--max-model-len``.
        hidden: elements of a token's state.
        layout: layout of the model.
        vllm: behaviour of the version.
        fp8_cache: whether the KV cache has 8 bits.
        packed: whether routed experts are stored in MXFP4.
        capability: first number of the GPU's compute capability, None when it is not known.
        eager: ``--enforce-eager``.
        drafted: tokens that multi-token prediction drafts in a step.
    """

    tokens: int
    requests: int
    length: int
    hidden: int
    layout: Layout
    vllm: Behaviour
    fp8_cache: bool = False
    packed: bool = False
    capability: int | None = None
    eager: bool = False
    drafted: int = 0


@dataclass(frozen=True)
class Block:
    """A part of a decoder layer. A kind of block overrides what it has; sizes are those of one rank."""

    @property
    def norms(self) -> int:
        """The number of norms of the size of a token's state."""
        return 1

    @property
    def positions(self) -> tuple[str, int] | None:
        """A table of rotary positions of such blocks: its name, and bytes of a position; None for the model's table."""
        return None

    @property
    def capabilities(self) -> tuple[int, ...]:
        """The compute capabilities with kernels of the block, by their first number; empty if all have them."""
        return ()

    def refused_cache(self, dtype: str) -> str:
        """Return what vLLM says about a type of the KV cache (``--kv-cache-dtype``) that it refuses, else nothing."""
        return ""

    @property
    def split_heads(self) -> int:
        """The number of heads that ranks share, which the tensor parallel size must divide; 0 without heads."""
        return 0

    def matrices(self, share: WeightShare) -> Iterator[Matrix]:
        """Yield the matrices, without norms of the size of a token's state."""
        yield from ()

    def least_block(self, form: CacheForm) -> int:
        """Return the tokens of which a block of the cache is a multiple for this block's kernels."""
        return BLOCK

    def token_bytes(self, form: CacheForm) -> int:
        """Return the bytes of a token that vLLM counts when it makes blocks as large as a state; 0 without any."""
        return 0

    def state_bytes(self, form: CacheForm) -> int:
        """Return the bytes of a request's state; 0 without one."""
        return 0

    def caches(self, form: CacheForm) -> Iterator[CacheSpec]:
        """Yield the caches."""
        yield from ()

    def peak(self, step: ProfileStep) -> float:
        """Return the bytes of activations between operators at the peak of a block that mixes tokens."""
        return 0.0

    def buffer(self, step: ProfileStep) -> float:
        """Return the bytes that kernels of the block allocate at its peak, which compiled code does not change."""
        return 0.0

    def dense_peak(self, step: ProfileStep) -> float:
        """Return the bytes of activations at the peak of a dense feed-forward part."""
        return 0.0

    def workspace(self, step: ProfileStep) -> float:
        """Return the bytes of the workspace, which all blocks share and which stays."""
        return 0.0

    def early_workspace(self, step: ProfileStep) -> float:
        """Return the bytes of the part of the workspace that exists before vLLM has loaded the weights."""
        return 0.0

    def kept(self, step: ProfileStep) -> float:
        """Return the bytes that the block allocates in the profile run, and keeps for itself."""
        return 0.0

    def buffers(self, step: ProfileStep) -> float:
        """Return the bytes of buffers that all blocks of this kind share, allocated with the weights."""
        return 0.0

    def own_buffers(self, step: ProfileStep) -> float:
        """Return the bytes of buffers that each block of this kind has for itself, allocated with the weights."""
        return 0.0


class Mixer(Block):
    """A block that passes information between tokens."""


class FeedForward(Block):
    """A block that processes each token by itself."""
