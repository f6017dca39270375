"""Which nodes measure with each other, and when."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise


def rounds(count: int) -> Iterator[list[tuple[int, int]]]:
    """Yield the pairs of neighbors on a ring of nodes, in rounds in which each node is in one pair at most."""
    ring = [*pairwise(range(count))]
    if count > 2:
        ring.append((count - 1, 0))
    even, odd = ring[::2], ring[1::2]
    last = [even.pop()] if count > 2 and count % 2 else []
    yield from (pairs for pairs in (even, odd, last) if pairs)
