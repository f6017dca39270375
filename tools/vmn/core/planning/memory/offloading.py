"""Host memory to which vLLM offloads the KV cache (v1/kv_offload/cpu/spec.py, ``CPUOffloadingSpec``, 0.32 and 0.33)."""

from __future__ import annotations

from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import GIB
from vmn.core.planning.memory.kv_cache import KVCache

PAGE = 4096
"""Bytes of which a block of all ranks is a multiple (``SharedOffloadRegion.BLOCK_SIZE_ALIGNMENT``, mmap.PAGESIZE)."""


def offloading_refusal(layout: Layout, cluster: Cluster) -> str | None:
    """Return why the chart refuses to offload the KV cache in a layout, None when it does not."""
    if layout.pipeline > 1:
        return (
            "the KV cache can't be offloaded with pipeline stages, which have room for different numbers of blocks in "
            "host memory (vllm#50653)"
        )
    if cluster.nodes > 1 and layout.data == 1:
        return "the KV cache can't be offloaded while the ranks of a replica are on several nodes (vllm#54415)"
    return None


def offloaded_tokens(gib: float, layout: Layout, cache: KVCache, block_bytes: int, length: int) -> int:
    """Return the tokens that host memory holds, as the size of the KV cache counts them.

    Args:
        gib: GiB of host memory per GPU.
        layout: a layout that can be offloaded.
        cache: form of the KV cache.
        block_bytes: bytes of a block of all layers on a rank.
        length: tokens of a request.
    """
    copies = 1 if _is_stored_once(layout, cache) else layout.tensor
    size = -(-block_bytes * copies // PAGE) * PAGE
    blocks = int(gib * GIB * layout.tensor) // size
    return int(blocks / cache.request_blocks(length) * length) * layout.data


def _is_stored_once(layout: Layout, cache: KVCache) -> bool:
    """Return whether all ranks hold the same KV cache, so that one copy is kept (``replicated_layout``)."""
    alike = all(group.spec.kind == "full" and group.spec.latent for group in cache.groups)
    return alike and layout.decode_context == 1
