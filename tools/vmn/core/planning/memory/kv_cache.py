"""The KV cache of one rank: bytes, blocks, tokens, and the longest request, as in ``kv_cache_utils.py`` of vLLM.

A block holds some tokens of one group of caches. All groups take their blocks from one pool, so a request of a model
with several kinds of cache takes blocks for each. What a layer keeps is data: ``blocks/cache_spec.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from vmn.core.planning.blocks.block import Block
from vmn.core.planning.blocks.cache_spec import BLOCK, CacheForm, aligned
from vmn.core.planning.blocks.states import State
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.cache_groups import CacheGroup, cache_groups
from vmn.core.planning.model.architecture import Architecture
from vmn.core.planning.vllm.model_runner import batches_in_flight
from vmn.core.planning.vllm.versions import LATEST, Behaviour, behaviour

LATENT_HYBRID_BLOCK = 128
"""Tokens of which a block is a multiple in models with states and latent attention (``_align_hybrid_block_size``)."""


@dataclass(frozen=True)
class KVCache:
    """The form of the cache on all ranks of a layout.

    Attributes:
        block: tokens of a block of attention.
        groups: groups of caches.
        in_flight: tokens of the batches in flight.
        shards: number of ranks that share the tokens of a request (decode context parallelism).
        multiple: bytes of which a block of all layers is a multiple.
    """

    block: int
    groups: tuple[CacheGroup, ...]
    in_flight: int
    shards: int
    multiple: int = 1

    @property
    def page(self) -> int:
        """The bytes of a block of the largest cache of a layer."""
        return max(page for group in self.groups for _, page in group.pages)

    def block_bytes(self, begin: int, end: int) -> int:
        """Return the bytes of a block on a rank with the layers from ``begin`` up to ``end``."""
        return aligned(max(group.block_bytes(begin, end) for group in self.groups), self.multiple)

    def request_blocks(self, length: int) -> int:
        """Return the blocks that a request of ``length`` tokens takes."""
        return sum(group.spec.blocks(length, self.in_flight, self.shards) for group in self.groups)

    def longest_request(self, blocks: int, most: int) -> int:
        """Return the longest request that fits into ``blocks``, at most ``most``; 0 when none fits."""
        low, high = (most if self.request_blocks(most) <= blocks else 0), most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.request_blocks(middle) <= blocks else (low, middle - 1)
        return low


@lru_cache(maxsize=256)
def kv_cache(
    model: Architecture,
    layout: Layout,
    dtype: str,
    batched_tokens: int,
    vllm: Behaviour | None = None,
    capability: int | None = None,
    drafted: int = 0,
) -> KVCache:
    """Return the form of the cache.

    Args:
        model: shapes of the model.
        layout: layout of the model.
        dtype: ``auto``, or one of ``fp8``, ``fp8_e4m3``, ``fp8_e5m2``.
        batched_tokens: most tokens of a step.
        vllm: behaviour of the version, by default of the latest.
        capability: first number of the GPU's compute capability, None when it is not known.
        drafted: tokens that speculative decoding drafts in a step.
    """
    vllm = vllm or behaviour(LATEST)
    in_flight = batches_in_flight(model, layout, vllm) * batched_tokens
    form = CacheForm(layout, vllm, cache_is_fp8(model, dtype, capability), BLOCK, capability, drafted)
    parts = [block for layer in model.kinds for block in layer.blocks]
    form = replace(form, block=max(block.least_block(form) for block in parts))
    state = max(block.state_bytes(form) for block in parts)
    page = 0
    if state:
        token = max(block.token_bytes(form) for block in parts)
        step = math.lcm(max(form.block, LATENT_HYBRID_BLOCK if model.is_latent else 0), _checkpoint_grid(parts, form))
        form = replace(form, block=-(-state // (step * token)) * step)
        page = form.block * token
    groups, multiple = _groups(model, form, page)
    return KVCache(form.block, groups, in_flight, layout.decode_context, multiple)


def _checkpoint_grid(parts: Sequence[Block], form: CacheForm) -> int:
    """Return the tokens of which a block is a multiple so that all states of a model can be exported at its ends.

    1 unless all of them can (``get_mamba_prefill_checkpoint_alignment``).
    """
    grids = [part.checkpoint_grid(form) for part in parts if isinstance(part, State)]
    return math.lcm(*(grid or 1 for grid in grids)) if all(grids) else 1


def _groups(model: Architecture, form: CacheForm, page: int) -> tuple[tuple[CacheGroup, ...], int]:
    """Return the groups; a state takes a whole page of attention."""
    by_kind = {
        layer: [
            replace(spec, page=max(page, spec.page)) if spec.kind == "state" else spec
            for block in layer.blocks
            for spec in block.caches(form)
        ]
        for layer in model.kinds
    }
    caches = [(index, spec) for index, layer in enumerate(model.layers) for spec in by_kind[layer]]
    return cache_groups(caches, model.packs_pages)


def cache_is_fp8(model: Architecture, dtype: str, capability: int | None = None) -> bool:
    """Return whether the KV cache has 8 bits: as requested, or with ``auto`` as the checkpoint or the model says."""
    if dtype == "auto":
        return model.kv_dtype is not None or (capability is not None and capability in model.fp8_cache_on)
    return dtype not in ("bfloat16", "float16")


def lengths(most: int) -> Sequence[int]:
    """Return the lengths of requests for which a plan says how many fit: powers of 8 Ki, up to the longest one."""
    found = [8192 * 4**power for power in range(8) if 8192 * 4**power < most]
    return (*found, most)
