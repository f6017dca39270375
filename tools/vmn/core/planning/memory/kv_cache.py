"""The KV cache of one rank: bytes, blocks, tokens, and the longest request, as in ``kv_cache_utils.py`` of vLLM 0.32.

A block holds some tokens of one group of layers. Layers with one kind of attention form groups of equal size. All
groups take their blocks from one pool, so a request of a model with several kinds takes blocks for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from vmn.core.planning.layout.sizes import Layout, stage_layers
from vmn.core.planning.model.architecture import (
    STATEFUL,
    Architecture,
    Attention,
    KimiDeltaAttention,
    LatentAttention,
    LinearAttention,
    Mamba2,
)
from vmn.core.planning.vllm.model_runner import batches_in_flight
from vmn.core.planning.vllm.versions import LATEST, Behaviour, behaviour

BLOCK = 16
"""Tokens of a block by default (``CacheConfig.DEFAULT_BLOCK_SIZE``)."""
SPARSE_BLOCK = 64
"""Tokens of a block of DeepSeek's sparse attention (FLASHMLA_SPARSE)."""
LATENT_HYBRID_BLOCK = 128
"""Tokens of which a block is a multiple in models with states and latent attention (``_align_hybrid_block_size``)."""
INDEXED_BLOCK = 128
"""Tokens of a block of MiniMax-M3's block-sparse attention, whose kernels pick blocks of that size."""
INDEX_SCALES = 4
"""Bytes of scales for an indexer's key in 8 bits."""
LATENT_FP8_BYTES = 656
"""Bytes of a compressed key and value of DeepSeek's sparse attention in 8 bits (``fp8_ds_mla``)."""


NO_CACHE = ("none", 0)
"""The kind of a layer without a cache."""


@dataclass(frozen=True)
class LayerGroup:
    """Layers that share a table of blocks.

    Attributes:
        layers: indexes of the model's layers.
        limit: most tokens in the cache (window or chunk, without those in flight), None for the whole request.
        states: blocks of a request if they do not depend on its length (linear attention), otherwise 0.
        extra: further blocks of each request (the ends of a window need not align with blocks).
    """

    layers: tuple[int, ...]
    limit: int | None = None
    states: int = 0
    extra: int = 0


@dataclass(frozen=True)
class KVCache:
    """The form of the cache on all ranks of a layout.

    Attributes:
        block: tokens of a block of attention.
        pages: bytes of a block for each layer.
        groups: groups of layers.
        in_flight: tokens of the batches in flight.
        shards: number of ranks that share the tokens of a request (decode context parallelism).
    """

    block: int
    pages: tuple[int, ...]
    groups: tuple[LayerGroup, ...]
    in_flight: int
    shards: int

    @property
    def page(self) -> int:
        """The bytes of a block of the largest layer."""
        return max(self.pages)

    def block_bytes(self, begin: int, end: int) -> int:
        """Return the bytes of a block on a rank with the layers from ``begin`` up to ``end``."""
        return max(sum(self.pages[layer] for layer in group.layers if begin <= layer < end) for group in self.groups)

    def request_blocks(self, length: int) -> int:
        """Return the blocks that a request of ``length`` tokens takes."""
        return sum(self._group_blocks(group, length) for group in self.groups)

    def _group_blocks(self, group: LayerGroup, length: int) -> int:
        if group.states:
            return group.states
        tokens = -(-length // self.shards)
        if group.limit is not None:
            tokens = min(group.limit + self.in_flight, length)
        return -(-tokens // self.block) + group.extra

    def longest_request(self, blocks: int, most: int) -> int:
        """Return the longest request that fits into ``blocks``, at most ``most``; 0 when none fits."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.request_blocks(middle) <= blocks else (low, middle - 1)
        return low


@lru_cache(maxsize=256)
def kv_cache(
    model: Architecture, layout: Layout, dtype: str, batched_tokens: int, vllm: Behaviour | None = None
) -> KVCache:
    """Return the form of the cache.

    Args:
        model: shapes of the model.
        layout: layout of the model.
        dtype: ``auto``, or one of ``fp8``, ``fp8_e4m3``, ``fp8_e5m2``.
        batched_tokens: most tokens of a step.
        vllm: behaviour of the version, by default of the latest.
    """
    vllm = vllm or behaviour(LATEST)
    in_flight = batches_in_flight(model, layout, vllm) * batched_tokens
    element = 1 if cache_is_fp8(model, dtype) else 2
    if model.is_latent and not model.is_hybrid:
        return _latent(model, element, in_flight, layout)
    token = max(_token_bytes(layer.attention, layout.tensor, element) for layer in model.kinds)
    token = max(token, *(_latent_bytes(layer.attention, element) for layer in model.kinds))
    if model.is_hybrid:
        return _hybrid(model, token, in_flight, layout, vllm)
    kinds = [_kind(layer.attention) for layer in model.layers]
    block = INDEXED_BLOCK if any(map(_index_bytes, (layer.attention for layer in model.kinds))) else BLOCK
    pages = tuple(block * (token + _index_bytes(layer.attention)) for layer in model.layers)
    return KVCache(block, pages, _groups(kinds), in_flight, layout.decode_context)


def cache_is_fp8(model: Architecture, dtype: str) -> bool:
    """Return whether the KV cache has 8 bits: as requested, or with ``auto`` as the checkpoint says."""
    if dtype == "auto":
        return model.kv_dtype is not None
    return dtype not in ("bfloat16", "float16")


def _token_bytes(attention: object, tensor: int, element: int) -> int:
    if not isinstance(attention, Attention):
        return 0
    return max(1, attention.kv_heads // tensor) * (attention.key_size + attention.value_size) * element


def _index_bytes(attention: object) -> int:
    """Return the bytes of a token's key for the indexer of block-sparse attention, in 16 bits on each rank."""
    return attention.index_size * 2 if isinstance(attention, Attention) else 0


def _kind(attention: object) -> tuple[str, int]:
    if isinstance(attention, Attention) and attention.window:
        return "window", attention.window
    if isinstance(attention, Attention) and attention.chunk:
        return "chunk", attention.chunk
    return "full", 0


def _groups(kinds: Sequence[tuple[str, int]], state_blocks: int = 1) -> tuple[LayerGroup, ...]:
    """Return groups with as many layers as the rarest kind, or as the most common kind if that is similar."""
    by_kind: dict[tuple[str, int], list[int]] = {}
    for layer, kind in enumerate(kinds):
        if kind != NO_CACHE:
            by_kind.setdefault(kind, []).append(layer)
    fewest, most = min(map(len, by_kind.values())), max(map(len, by_kind.values()))
    size = most if most < fewest * 1.5 else fewest
    groups: list[LayerGroup] = []
    for (name, tokens), layers in by_kind.items():
        count = -(-len(layers) // size)
        for start in range(count):
            members = tuple(layers[start::count])
            match name:
                case "window":
                    groups.append(LayerGroup(members, limit=tokens - 1, extra=1))
                case "chunk":
                    groups.append(LayerGroup(members, limit=tokens))
                case "state":
                    groups.append(LayerGroup(members, states=state_blocks))
                case _:
                    groups.append(LayerGroup(members))
    return tuple(groups)


def _latent(model: Architecture, element: int, in_flight: int, layout: Layout) -> KVCache:
    """Return the cache of latent attention, of which each tensor parallel rank has all."""
    block = SPARSE_BLOCK if model.is_sparse else BLOCK
    pages = tuple(block * _latent_bytes(layer.attention, element) for layer in model.layers)
    return KVCache(block, pages, (LayerGroup(tuple(range(len(pages)))),), in_flight, layout.decode_context)


def _latent_bytes(attention: object, element: int) -> int:
    """Return the bytes of a token in one layer, including its key for the indexer."""
    if not isinstance(attention, LatentAttention):
        return 0
    token = (attention.kv_rank + attention.rope_size) * element
    if attention.index_top and element == 1:
        token = LATENT_FP8_BYTES
    return token + (attention.index_size + INDEX_SCALES if attention.index_heads else 0)


def _hybrid(model: Architecture, token: int, in_flight: int, layout: Layout, vllm: Behaviour) -> KVCache:
    """Return the cache of hybrid models: blocks of attention are as large as a state, which is padded to them."""
    state = max(_state_bytes(layer.attention, layout.tensor) for layer in model.kinds)
    step = max(vllm.hybrid_block, LATENT_HYBRID_BLOCK if model.is_latent else 0)
    block = -(-state // (step * token)) * step
    kinds = [_hybrid_kind(layer.attention) for layer in model.layers]
    pages = tuple(0 if kind == NO_CACHE else block * token for kind in kinds)
    return KVCache(block, pages, _groups(kinds, vllm.state_blocks), in_flight, layout.decode_context)


def _hybrid_kind(mixer: object) -> tuple[str, int]:
    if mixer is None:
        return NO_CACHE
    return ("state", 0) if isinstance(mixer, STATEFUL) else _kind(mixer)


def _state_bytes(mixer: object, tensor: int) -> int:
    """Return the bytes of a request's state in one layer: the convolution's last tokens, and the recurrent state."""
    match mixer:
        case LinearAttention():
            keys = mixer.key_heads * mixer.key_size
            values = mixer.value_heads * mixer.value_size
            convolution = (2 * keys + values) // tensor * (mixer.convolution - 1)
            recurrent = mixer.value_heads // tensor * mixer.key_size * mixer.value_size
        case Mamba2():
            groups = max(1, mixer.groups // tensor)
            convolution = (mixer.heads * mixer.size // tensor + 2 * groups * mixer.state) * (mixer.convolution - 1)
            recurrent = mixer.heads // tensor * mixer.size * mixer.state
        case KimiDeltaAttention():
            convolution = 3 * mixer.heads * mixer.size // tensor * (mixer.convolution - 1)
            recurrent = mixer.heads // tensor * mixer.size**2
        case _:
            return 0
    return 2 * convolution + mixer.state_bytes * recurrent


def stage_bounds(model: Architecture, layout: Layout) -> list[tuple[int, int]]:
    """Return for each stage its first layer, and the layer after its last one."""
    ends = list(accumulate(stage_layers(len(model.layers), layout.pipeline)))
    return list(zip([0, *ends], ends, strict=False))
