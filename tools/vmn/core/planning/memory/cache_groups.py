"""Which caches share a table of blocks, as ``v1/core/kv_cache_planning.py`` of vLLM 0.33 decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vmn.core.planning.blocks.cache_spec import CacheSpec, aligned

SIMILAR = 1.5
"""Ratio of layers of the most common and the rarest kind below which groups are as large as the most common one."""
Cache = tuple[int, CacheSpec]
"""The index of a layer, and one of its caches."""


@dataclass(frozen=True)
class CacheGroup:
    """Caches that share a table of blocks.

    Attributes:
        pages: indexes of layers, and bytes of a block of their caches.
        spec: how many blocks a request takes.
    """

    pages: tuple[tuple[int, int], ...]
    spec: CacheSpec

    def block_bytes(self, begin: int, end: int) -> int:
        """Return the bytes of a block on a rank with the layers from ``begin`` up to ``end``."""
        return sum(page for layer, page in self.pages if begin <= layer < end)


def cache_groups(caches: Sequence[Cache], packed: bool) -> tuple[tuple[CacheGroup, ...], int]:
    """Return the groups, and the number of bytes of which a block is a multiple (``get_kv_cache_groups``).

    Args:
        caches: all caches of the model, in the order of its layers.
        packed: whether pages of different sizes may lie side by side in a block (the layout BLHNC).
    """
    first = caches[0][1]
    if all(spec.is_like(first) for _, spec in caches):
        return (_group(caches),), 1
    if packed and len({spec.page for _, spec in caches}) > 1:
        return tuple(_packed(caches)), math.lcm(*(spec.stride for _, spec in caches))
    return tuple(_equal(_unified(caches))), 1


def _group(caches: Sequence[Cache]) -> CacheGroup:
    """Return one group of alike caches; in layouts by layer each page keeps to its own stride."""
    pages = tuple((layer, aligned(spec.page, spec.stride)) for layer, spec in caches)
    return CacheGroup(pages, caches[0][1])


def _unified(caches: Sequence[Cache]) -> list[Cache]:
    """Return the caches with pages of one size: larger blocks, or else padding (``unify_kv_cache_spec_page_size``)."""
    specs = {spec for _, spec in caches}
    most = max(spec.page for spec in specs)
    unified = {
        spec: replace(spec, page=most, block=spec.block * (_times(spec, most) if spec.kind != "state" else 1))
        for spec in specs
    }
    return [(layer, unified[spec]) for layer, spec in caches]


def _times(spec: CacheSpec, most: int) -> int:
    """Return how many blocks make one of the largest page, 1 if a page has to be padded."""
    return most // spec.page if most % spec.page == 0 else 1


def _equal(caches: Sequence[Cache]) -> list[CacheGroup]:
    """Return groups with as many layers as the rarest kind, or as the most common kind if that is similar."""
    kinds: dict[CacheSpec, list[Cache]] = {}
    close = {spec: replace(spec, stride=1) for spec in {spec for _, spec in caches}}
    for cache in caches:
        kinds.setdefault(close[cache[1]], []).append(cache)
    fewest, most = min(map(len, kinds.values())), max(map(len, kinds.values()))
    size = most if most < fewest * SIMILAR else fewest
    return [
        _group(members[start :: -(-len(members) // size)])
        for members in kinds.values()
        for start in range(-(-len(members) // size))
    ]


def _packed(caches: Sequence[Cache]) -> list[CacheGroup]:
    """Return groups whose pages of different sizes lie side by side (``_get_packed_kv_cache_groups``)."""
    buckets: list[list[Cache]] = []
    for cache in caches:
        near = next((bucket for bucket in buckets if bucket[0][1].is_like(cache[1])), None)
        if near is None:
            buckets.append([cache])
        else:
            near.append(cache)
    by_size = [_by_page(bucket) for bucket in buckets]
    repeats = _repeats(by_size)
    counts = [-(-_most(pages) // repeats) if repeats and _is_balanced(pages) else 1 for pages in by_size]
    states = [
        bucket[0][1].kind in ("state", "ring") or (bucket[0][1].kind == "window" and not repeats) for bucket in buckets
    ]
    anchor = max(
        _widest(pages, len(bucket) if state else count)
        for bucket, pages, count, state in zip(buckets, by_size, counts, states, strict=True)
    )
    groups: list[CacheGroup] = []
    for bucket, pages, count, state in zip(buckets, by_size, counts, states, strict=True):
        if state:
            fit = max(anchor // bucket[0][1].page, 1)
            count = max(count, -(-len(bucket) // fit))
        repeated = list(zip(*pages.values(), strict=False)) if count > 1 else [tuple(bucket)]
        groups += [_joined([cache for some in repeated[start::count] for cache in some]) for start in range(count)]
    return groups


def _joined(caches: Sequence[Cache]) -> CacheGroup:
    return CacheGroup(tuple((layer, spec.page) for layer, spec in caches), caches[0][1])


def _by_page(bucket: Sequence[Cache]) -> dict[int, list[Cache]]:
    found: dict[int, list[Cache]] = {}
    for cache in bucket:
        found.setdefault(cache[1].page, []).append(cache)
    return found


def _most(pages: Mapping[int, Sequence[Cache]]) -> int:
    return max(map(len, pages.values()))


def _is_balanced(pages: Mapping[int, Sequence[Cache]]) -> bool:
    """Return whether there are as many caches of each size, so that they repeat as one pattern."""
    return len({len(members) for members in pages.values()}) == 1


def _widest(pages: Mapping[int, Sequence[Cache]], count: int) -> int:
    return sum(-(-len(members) // count) * page for page, members in pages.items())


def _repeats(by_size: Sequence[Mapping[int, Sequence[Cache]]]) -> int:
    """Return how often a group repeats its pattern so that padding is least, 0 if no bucket has pages of several sizes.

    After ``_approximate_gcd``, where the larger of two equally good numbers wins.
    """
    least = max((_most(pages) for pages in by_size if _is_balanced(pages) and len(pages) > 1), default=0)
    if not least:
        return 0
    counts = [_most(pages) for pages in by_size if _is_balanced(pages)]
    return min(range(least, max(counts) + 1), key=lambda size: (sum(-count % size for count in counts), -size))
