"""What is measured: all-reduces in the group and in each node, and data from each node to its neighbors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist

from ring import rounds

KIB, MIB, GIB = 2**10, 2**20, 2**30
REDUCED = {True: (64 * KIB, MIB, 16 * MIB, 256 * MIB, GIB), False: (64 * KIB, MIB, 8 * MIB, 32 * MIB)}
"""Bytes of all-reduces on GPUs, and on CPUs: the smallest is like that of a decode step, and from 1 GiB on a network of
8 x 200 Gbit/s is within 12 % of its best (nccl-tests on two A3 Mega, 298 of 339 GB/s)."""
SENT = {True: (4 * MIB, 32 * MIB, 256 * MIB), False: (MIB, 8 * MIB, 32 * MIB)}
"""Bytes that each rank sends to another node."""
LONGEST = 0.25
"""Seconds of one operation from which no larger one is tried."""
SPENT = 0.3
"""Seconds to spend on repetitions of one size."""
MOST = 20
"""Repetitions of one size, as in nccl-tests."""
TRIES = 3
"""Parts of the repetitions, of which the fastest counts: others who use the network or the processors for a moment make
a part slower, and a slow node is slow in all of them."""
WORD = 4
"""Bytes of a float32, which nccl-tests uses, too."""
Stage = Callable[[str], None]


@dataclass(frozen=True)
class RankGroup:
    """The ranks and how they communicate.

    Attributes:
        rank: of this process.
        nodes: ranks of each node, by name, in the order of the ranks.
        control: group on Gloo of all ranks, which works even where NCCL does not.
        data: group of all ranks that is measured.
        local: group of this node's ranks, None if there is only one.
        device: where the data is.
    """

    rank: int
    nodes: Mapping[str, Sequence[int]]
    control: Any
    data: Any
    local: Any
    device: Any

    @property
    def on_gpus(self) -> bool:
        """Whether the data is on GPUs."""
        return bool(self.device.type == "cuda")

    @property
    def size(self) -> int:
        """Number of ranks."""
        return sum(map(len, self.nodes.values()))

    def gathered(self, value: Any) -> list[Any]:
        """Return the values of all ranks."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.control)
        return values

    def timed(self, operation: Callable[[], object] | None) -> list[float]:
        """Return the seconds of an operation for each rank, 0 for those that take no part in it.

        The operation runs once before it is timed; the slowest rank decides how often it is repeated.
        """
        first = max(self.gathered(self._seconds(operation, 1)))
        times = min(MOST, int(SPENT / max(first, 1e-9)))
        parts = [self._seconds(operation, max(1, times // TRIES)) for _ in range(TRIES if first < LONGEST else 1)]
        return self.gathered(min(parts))

    def _seconds(self, operation: Callable[[], object] | None, times: int) -> float:
        dist.barrier(group=self.control)
        if operation is None:
            return 0.0
        begun = time.perf_counter()
        for _ in range(times):
            operation()
        if self.on_gpus:
            torch.cuda.synchronize(self.device)
        return (time.perf_counter() - begun) / times


def sums_are_right(group: RankGroup) -> bool:
    """Return whether an all-reduce adds up what the ranks contribute."""
    data = torch.full((MIB // WORD,), float(group.rank + 1), device=group.device)
    dist.all_reduce(data, group=group.data)
    return bool(torch.all(data == group.size * (group.size + 1) / 2).item())


def all_reduce(group: RankGroup) -> dict[str, float]:
    """Return bytes, seconds, and bus bandwidth in GB/s of the largest all-reduce, and seconds of the smallest."""
    took = _reduced(group, group.data)
    small, (size, seconds) = next(iter(took.items())), [*took.items()][-1]
    rate = bus_rate(size, max(seconds), len(seconds))
    return {
        "bytes": size,
        "seconds": max(seconds),
        "rate": rate,
        "small_bytes": small[0],
        "small_seconds": max(small[1]),
    }


def within(group: RankGroup) -> dict[str, float]:
    """Return the bus bandwidth in GB/s of each node that has several ranks, all nodes at the same time."""
    size, seconds = [*_reduced(group, group.local).items()][-1]
    several = {node: ranks for node, ranks in group.nodes.items() if len(ranks) > 1}
    return {node: bus_rate(size, max(seconds[rank] for rank in ranks), len(ranks)) for node, ranks in several.items()}


def bus_rate(size: int, seconds: float, count: int) -> float:
    """Return the bus bandwidth of an all-reduce in GB/s, which does not depend on the number of ranks.

    It is 2 (n - 1) / n times bytes per second (nccl-tests, doc/PERFORMANCE.md).
    """
    return 2 * (count - 1) / count * size / seconds / 1e9


def _reduced(group: RankGroup, members: Any) -> dict[int, list[float]]:
    """Return the seconds of each rank by bytes. Ranks without members take no part."""
    took: dict[int, list[float]] = {}
    for size in REDUCED[group.on_gpus]:
        data = torch.zeros(size // WORD, device=group.device)
        took[size] = group.timed(partial(dist.all_reduce, data, group=members) if members else None)
        if max(took[size]) > LONGEST:
            break
    return took


def links(group: RankGroup, stage: Stage) -> list[list[Any]]:
    """Return sender, receiver, and GB/s for each way between neighboring nodes, with all of their ranks at once."""
    names = list(group.nodes)
    found: list[list[Any]] = []
    for pairs in rounds(len(names)):
        for way in (pairs, [(receiver, sender) for sender, receiver in pairs]):
            edges = [(names[sender], names[receiver]) for sender, receiver in way]
            stage(f"sending from {', '.join(f'{sender} to {receiver}' for sender, receiver in edges)}")
            found += _sent(group, edges)
    return found


def _sent(group: RankGroup, edges: Sequence[tuple[str, str]]) -> list[list[Any]]:
    rates: dict[tuple[str, str], float] = {}
    for size in SENT[group.on_gpus]:
        seconds = group.timed(_transfer(group, edges, size))
        for sender, receiver in edges:
            pairs = [*zip(group.nodes[sender], group.nodes[receiver], strict=False)]
            longest = max(seconds[rank] for pair in pairs for rank in pair)
            rates[sender, receiver] = len(pairs) * size / longest / 1e9
        if max(seconds) > LONGEST:
            break
    return [[sender, receiver, rate] for (sender, receiver), rate in rates.items()]


def _transfer(group: RankGroup, edges: Sequence[tuple[str, str]], size: int) -> Callable[[], object] | None:
    """Return what this rank does so that each sender's ranks send to the receiver's, None if it takes no part."""
    for sender, receiver in edges:
        for one, other in zip(group.nodes[sender], group.nodes[receiver], strict=False):
            if group.rank in (one, other):
                data = torch.zeros(size // WORD, device=group.device)
                action, peer = (dist.isend, other) if group.rank == one else (dist.irecv, one)
                return lambda: _finish(dist.batch_isend_irecv([dist.P2POp(action, data, peer, group.data)]))
    return None


def _finish(works: Sequence[Any]) -> None:
    for work in works:
        work.wait()
