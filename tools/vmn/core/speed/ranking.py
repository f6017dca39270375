"""Which layout serves a workload best, and how few GPUs are enough for its targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.prediction import Prediction, predict_all, rank_of
from vmn.core.speed.predict import SpeedContext, speed
from vmn.core.speed.workload import Speed, Workload

Speeds = Mapping[Layout, Speed]
"""The speed of each layout that fits."""


@dataclass(frozen=True)
class Enough:
    """The fewest GPUs with which the targets hold.

    Attributes:
        groups: number of groups, between which the workload is divided.
        cluster: nodes of each group.
        layout: layout of each group.
        speed: what each group does with its part of the workload.
    """

    groups: int
    cluster: Cluster
    layout: Layout
    speed: Speed

    @property
    def gpus(self) -> int:
        """GPUs of all groups."""
        return self.groups * self.cluster.gpus


def speeds(context: SpeedContext, predictions: Sequence[Prediction], workload: Workload) -> dict[Layout, Speed]:
    """Return the speed of each layout that fits."""
    return {item.layout: speed(context, item, workload) for item in predictions if item.fits}


def ranked(predictions: Sequence[Prediction], found: Speeds, nodes: int) -> list[Prediction]:
    """Return layouts with the best for the workload first.

    Layouts that surely start come first, then those that surely hold the targets, then those that may; among them the
    one that does most, or, at a given rate, the one that answers soonest. Layouts that do not fit keep their order.
    """

    def key(prediction: Prediction) -> tuple[object, ...]:
        mine = found.get(prediction.layout)
        order = rank_of(prediction, nodes)
        if mine is None:
            return (True, *order)
        holds = not mine.holds("high"), not mine.holds(), mine.overloaded
        return (False, not prediction.is_sure, *holds, merit(mine), order)

    return sorted(predictions, key=key)


def merit(speed: Speed) -> float:
    """Return what ranks layouts that hold the targets equally well, less is better."""
    if speed.makespan:
        return speed.makespan.expected
    if speed.workload.rate is None or speed.overloaded:
        return -speed.rate.expected
    return speed.first.expected + speed.each.expected * (speed.workload.answer - 1)


def fewest(context: SpeedContext, workload: Workload) -> Enough | None:
    """Return the fewest GPUs of the cluster with which the targets hold as expected, None if all are too few."""
    cluster, best = context.plan.cluster, None
    for smaller in _sizes(cluster):
        most = (best.gpus - 1 if best else cluster.gpus) // smaller.gpus
        if most:
            own = replace(context, plan=replace(context.plan, cluster=smaller))
            fitting = [item for item in predict_all(own.plan) if item.is_sure]
            best = _groups(own, fitting, workload, most) or best
    return best


def _sizes(cluster: Cluster) -> Iterator[Cluster]:
    """Yield the sizes of groups that the cluster can hold, the smallest first."""
    each = cluster.gpus_per_node
    for gpus in (size for size in range(1, each) if each % size == 0):
        yield replace(cluster, nodes=1, gpus_per_node=gpus)
    for nodes in (size for size in range(1, cluster.nodes + 1) if cluster.nodes % size == 0):
        yield replace(cluster, nodes=nodes)


def _groups(context: SpeedContext, fitting: Sequence[Prediction], workload: Workload, most: int) -> Enough | None:
    """Return the fewest groups, at most ``most``, that hold the targets, found by halving."""
    low, high, best = 1, most, None
    while fitting and low <= high:
        middle = high if best is None else (low + high) // 2
        found = speeds(context, fitting, divided(workload, middle))
        holding = [layout for layout, mine in found.items() if mine.holds()]
        if not holding:
            if best is None:
                return None
            low = middle + 1
            continue
        layout = min(holding, key=lambda layout: merit(found[layout]))
        best, high = Enough(middle, context.plan.cluster, layout, found[layout]), middle - 1
    return best


def divided(workload: Workload, groups: int) -> Workload:
    """Return the part of a workload that one of several groups gets."""
    if workload.requests is not None:
        return replace(workload, requests=-(-workload.requests // groups))
    if workload.concurrency is not None:
        return replace(workload, concurrency=-(-workload.concurrency // groups))
    return replace(workload, rate=(workload.rate or 0.0) / groups)
