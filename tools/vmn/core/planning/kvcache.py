"""The KV cache of one rank: bytes, blocks, tokens, the longest request. After vLLM 0.32's ``kv_cache_utils.py``.

A block holds some tokens of one group of layers. Layers of one kind of attention make groups of equal size; all groups
take their blocks from one pool, so a request of a model with several kinds takes blocks for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from vmn.core.planning.architecture import Architecture, Attention, LatentAttention, LinearAttention
from vmn.core.planning.layout import Layout, stage_layers

BLOCK = 16
"""Tokens of a block by default (``CacheConfig.DEFAULT_BLOCK_SIZE``)."""
SPARSE_BLOCK = 64
"""Tokens of a block of DeepSeek's sparse attention (FLASHMLA_SPARSE)."""
CONCURRENT_BATCHES = 2
"""Batches in flight with asynchronous scheduling: tokens that a window must keep besides its own."""
INDEX_SCALES = 4
"""Bytes of scales beside an indexer's key in 8 bits."""
LATENT_FP8_BYTES = 656
"""Bytes of a compressed key and value of DeepSeek's sparse attention in 8 bits (``fp8_ds_mla``)."""


@dataclass(frozen=True)
class Group:
    """Layers that share a table of blocks.

    Attributes:
        layers: how many of a model's layers.
        limit: tokens in the cache at most (window or chunk, without what is in flight), None for the whole request.
        states: blocks of a request when they don't depend on its length (linear attention), else 0.
        extra: further blocks of each request (a window's ends need not fall on a block's).
    """

    layers: tuple[int, ...]
    limit: int | None = None
    states: int = 0
    extra: int = 0


@dataclass(frozen=True)
class KVCache:
    """The cache's form on all ranks of a layout.

    Attributes:
        block: tokens of a block of attention.
        page: bytes of a block of one layer.
        groups: groups of layers.
        in_flight: tokens of the batches in flight.
        shards: ranks that share a request's tokens (decode context parallelism).
    """

    block: int
    page: int
    groups: tuple[Group, ...]
    in_flight: int
    shards: int

    def block_bytes(self, begin: int, end: int) -> int:
        """Return the bytes of a block on a rank with the layers from ``begin`` up to ``end``."""
        counts = [sum(begin <= layer < end for layer in group.layers) for group in self.groups]
        return max(counts) * self.page

    def request_blocks(self, length: int) -> int:
        """Return the blocks that a request of ``length`` tokens takes."""
        return sum(self._group_blocks(group, length) for group in self.groups)

    def _group_blocks(self, group: Group, length: int) -> int:
        if group.states:
            return group.states
        tokens = -(-length // self.shards)
        if group.limit is not None:
            tokens = min(group.limit + self.in_flight, length)
        return -(-tokens // self.block) + group.extra

    def longest_request(self, blocks: int, most: int) -> int:
        """Return the longest request that ``blocks`` hold, ``most`` at most; 0 when none fits."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.request_blocks(middle) <= blocks else (low, middle - 1)
        return low


@lru_cache(maxsize=256)
def kv_cache(model: Architecture, layout: Layout, dtype: str, batched_tokens: int) -> KVCache:
    """Return the cache's form.

    Args:
        model: its shapes.
        layout: how it is spread.
        dtype: ``auto``, or one of ``fp8``, ``fp8_e4m3``, ``fp8_e5m2``.
        batched_tokens: tokens of a step at most.
    """
    in_flight = CONCURRENT_BATCHES * batched_tokens
    element = 1 if (model.kv_dtype if dtype == "auto" else dtype) else 2
    element = 2 if dtype in ("bfloat16", "float16") else element
    if model.is_latent:
        return _latent(model, element, in_flight, layout)
    token = max(_token_bytes(layer.attention, layout.tensor, element) for layer in model.layers)
    if model.is_hybrid:
        return _hybrid(model, token, in_flight, layout)
    kinds = [_kind(layer.attention) for layer in model.layers]
    return KVCache(BLOCK, BLOCK * token, _groups(kinds), in_flight, layout.decode_context)


def _token_bytes(attention: object, tensor: int, element: int) -> int:
    if not isinstance(attention, Attention):
        return 0
    return max(1, attention.kv_heads // tensor) * (attention.key_size + attention.value_size) * element


def _kind(attention: object) -> tuple[str, int]:
    if isinstance(attention, Attention) and attention.window:
        return "window", attention.window
    if isinstance(attention, Attention) and attention.chunk:
        return "chunk", attention.chunk
    return "full", 0


def _groups(kinds: Sequence[tuple[str, int]]) -> tuple[Group, ...]:
    """Return the groups of layers: as many layers each as the rarest kind has, or the commonest when that is near."""
    by_kind: dict[tuple[str, int], list[int]] = {}
    for layer, kind in enumerate(kinds):
        by_kind.setdefault(kind, []).append(layer)
    fewest, most = min(map(len, by_kind.values())), max(map(len, by_kind.values()))
    size = most if most < fewest * 1.5 else fewest
    groups: list[Group] = []
    for (name, tokens), layers in by_kind.items():
        count = -(-len(layers) // size)
        for start in range(count):
            members = tuple(layers[start::count])
            match name:
                case "window":
                    groups.append(Group(members, limit=tokens - 1, extra=1))
                case "chunk":
                    groups.append(Group(members, limit=tokens))
                case "state":
                    groups.append(Group(members, states=1))
                case _:
                    groups.append(Group(members))
    return tuple(groups)


def _latent(model: Architecture, element: int, in_flight: int, layout: Layout) -> KVCache:
    """Every tensor-parallel rank keeps all of the compressed cache."""
    attention = next(layer.attention for layer in model.layers if isinstance(layer.attention, LatentAttention))
    token = (attention.kv_rank + attention.rope_size) * element
    block = BLOCK
    if attention.index_heads:
        token = LATENT_FP8_BYTES if element == 1 else token
        token += attention.index_size + INDEX_SCALES
        block = SPARSE_BLOCK
    layers = tuple(range(len(model.layers)))
    return KVCache(block, block * token, (Group(layers),), in_flight, layout.decode_context)


def _hybrid(model: Architecture, token: int, in_flight: int, layout: Layout) -> KVCache:
    """Attention's blocks grow until one is as large as a state, whose page is padded to it."""
    state = max(
        _state_bytes(layer.attention, layout.tensor)
        for layer in model.layers
        if isinstance(layer.attention, LinearAttention)
    )
    block = -(-state // (BLOCK * token)) * BLOCK
    kinds = [
        ("state", 0) if isinstance(layer.attention, LinearAttention) else _kind(layer.attention)
        for layer in model.layers
    ]
    return KVCache(block, block * token, _groups(kinds), in_flight, layout.decode_context)


def _state_bytes(attention: LinearAttention, tensor: int) -> int:
    """Return the bytes of a request's state in one layer: the convolution's last tokens and the recurrent state."""
    keys = attention.key_heads * attention.key_size
    values = attention.value_heads * attention.value_size
    convolution = (2 * keys + values) // tensor * (attention.convolution - 1)
    recurrent = attention.value_heads // tensor * attention.key_size * attention.value_size
    return 2 * (convolution + recurrent)


def stage_bounds(model: Architecture, layout: Layout) -> list[tuple[int, int]]:
    """Return first layer and the one after the last of each stage."""
    bounds, begin = [], 0
    for count in stage_layers(len(model.layers), layout.pipeline):
        bounds.append((begin, begin + count))
        begin += count
    return bounds
