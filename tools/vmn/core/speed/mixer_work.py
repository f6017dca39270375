"""What passes information between tokens: bytes of the KV cache or of a state, and operations, on one rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.planning.blocks.block import Block
from vmn.core.planning.blocks.compressed import ROW, CompressedAttention
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.blocks.latent import INDEX_SCALES, LatentAttention
from vmn.core.planning.blocks.sourced import SourcedAttention
from vmn.core.planning.blocks.states import KimiDeltaAttention, LightningAttention, LinearAttention, Mamba2
from vmn.core.planning.layout.sizes import Layout

STATE_FLOPS = 6
"""Operations for each element of a recurrent state and token of a prompt: decay, update, and read, each a multiply and
an add, without what a kernel computes twice for a chunk."""


@dataclass(frozen=True)
class MixerWork:
    """The work of a mixer, without its matrices.

    Attributes:
        kind: ``grouped``, ``latent``, ``state``, or ``rows`` for what kernels of another mixer of the layer also read.
        kv_bytes: bytes of the KV cache for each token of the context.
        window: tokens that attention looks back at most, None for all.
        pair_flops: operations for each pair of a prompt's token and a token before it.
        decode_flops: the same while decoding.
        index_bytes: bytes of the indexer's keys for each token of the context.
        index_flops: operations of the indexer for each pair.
        state: bytes of a request's state.
        state_flops: operations on the state for each token.
        normed: whether queries and keys have norms.
    """

    kind: str
    kv_bytes: float = 0.0
    window: int | None = None
    pair_flops: float = 0.0
    decode_flops: float = 0.0
    index_bytes: float = 0.0
    index_flops: float = 0.0
    state: float = 0.0
    state_flops: float = 0.0
    normed: bool = False


def mixer_work(block: Block, layout: Layout, fp8_cache: bool) -> Iterator[MixerWork]:
    """Yield what a rank does for a block of a layer, nothing for one that does not pass information between tokens.

    Args:
        block: the block.
        layout: layout of the model.
        fp8_cache: whether the KV cache has 8 bits.
    """
    tensor, element = layout.tensor, 1 if fp8_cache else 2
    match block:
        case Attention():
            yield _grouped(block, layout, element)
        case LatentAttention():
            yield _latent(block, layout, element)
        case CompressedAttention():
            yield from _compressed(block, layout)
        case LinearAttention():
            yield _state(block.value_heads * block.key_size * block.value_size / tensor, block.recurrent_bytes)
        case Mamba2():
            yield _state(block.heads * block.size * block.state / tensor, block.recurrent_bytes)
        case KimiDeltaAttention() | LightningAttention():
            yield _state(block.heads * block.size**2 / tensor, block.recurrent_bytes)


def _state(elements: float, each: int) -> MixerWork:
    return MixerWork("state", state=elements * each, state_flops=STATE_FLOPS * elements)


def _grouped(mixer: Attention, layout: Layout, element: int) -> MixerWork:
    size, index = mixer.key_size + mixer.value_size, mixer.index
    pair = 2.0 * mixer.heads / layout.tensor * size
    return MixerWork(
        "grouped",
        kv_bytes=max(1, mixer.kv_heads // layout.tensor) * size * element / layout.decode_context,
        window=mixer.window or mixer.chunk or (index.top if index else 0) or None,
        pair_flops=pair,
        decode_flops=pair,
        index_bytes=index.key_bytes / index.pool if index else 0.0,
        index_flops=2.0 * index.heads * index.size / index.pool if index else 0.0,
        normed=mixer.normed,
    )


def _latent(mixer: LatentAttention, layout: Layout, element: int) -> MixerWork:
    """Return the work of latent attention: decompressed for prompts, on compressed keys while decoding.

    Sparse attention computes on compressed keys for prompts as well, and its indexer looks at all tokens.
    """
    heads, share = mixer.heads / layout.tensor, layout.decode_context
    absorbed = 2.0 * heads * (2 * mixer.kv_rank + mixer.rope_size)
    plain = 2.0 * heads * (mixer.nope_size + mixer.rope_size + mixer.value_size)
    index = mixer.index_size / mixer.index_pool if mixer.index_heads else 0.0
    return MixerWork(
        "latent",
        kv_bytes=(mixer.kv_rank + mixer.rope_size) * element / share,
        window=mixer.window or mixer.index_top or None,
        pair_flops=absorbed if mixer.index_top else plain,
        decode_flops=absorbed / share,
        index_bytes=index / share,
        index_flops=2.0 * mixer.index_heads * index,
    )


def _compressed(mixer: CompressedAttention, layout: Layout) -> Iterator[MixerWork]:
    """Yield the work of compressed attention: over the window, and over rows of ``ratio`` tokens behind it.

    Rows are picked by an indexer. In V4.1, layers without one use what an earlier layer has picked.
    """
    pair = 4.0 * mixer.heads / layout.tensor * mixer.size
    yield MixerWork("latent", ROW, mixer.window, pair, pair)
    if not mixer.ratio:
        return
    ratio, is_picked = mixer.ratio, mixer.is_indexed or isinstance(mixer, SourcedAttention)
    yield MixerWork(
        "rows",
        kv_bytes=ROW / ratio,
        window=mixer.index_top * ratio if is_picked else None,
        pair_flops=pair / ratio,
        decode_flops=pair / ratio,
        index_bytes=(mixer.index_size + INDEX_SCALES) / ratio if mixer.is_indexed else 0.0,
        index_flops=2.0 * mixer.index_heads * mixer.index_size / ratio if mixer.is_indexed else 0.0,
    )
