"""Which layouts a plan covers: all layouts of a cluster, or those that the user asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vmn.core.planning.layout.constraints import Cluster, layouts
from vmn.core.planning.layout.sizes import Layout, derived_layout
from vmn.core.planning.prediction import PlanContext, Prediction, predict, predict_all


@dataclass(frozen=True)
class LayoutFilter:
    """The parts of a layout that the user asks for, None for any value."""

    tensor: int | None = None
    pipeline: int | None = None
    data: int | None = None
    expert: bool | None = None
    decode_context: int | None = None

    @property
    def is_one(self) -> bool:
        """Whether a size is given, so that the plan covers one layout."""
        return any((self.tensor, self.pipeline, self.data))


def predictions(context: PlanContext, wanted: LayoutFilter) -> Sequence[Prediction]:
    """Return a prediction for each layout of a plan, the best first; at least one, if only to say why it is refused."""
    found = [
        prediction
        for prediction in ([] if wanted.is_one else predict_all(context))
        if wanted.expert in (None, prediction.layout.expert)
        and wanted.decode_context in (None, prediction.layout.decode_context)
    ]
    return found or [predict(context, one_layout(wanted, context.cluster))]


def one_layout(wanted: LayoutFilter, cluster: Cluster) -> Layout:
    """Return the layout with the given sizes.

    When only tensor parallelism is given, pipeline stages take the remaining GPUs; all else is derived as the chart
    derives it.
    """
    pipeline = wanted.pipeline
    if wanted.tensor and not pipeline:
        pipeline = max(1, cluster.gpus // (wanted.tensor * (wanted.data or 1)))
    return derived_layout(
        cluster.nodes,
        cluster.gpus_per_node,
        tensor=wanted.tensor,
        pipeline=pipeline,
        data=wanted.data,
        expert=wanted.expert,
        decode_context=wanted.decode_context,
    )


def fewest_nodes(context: PlanContext) -> int:
    """Return the smallest divisor of the number of nodes on which a layout surely fits; all nodes when none does."""
    nodes = context.cluster.nodes
    for count in (size for size in range(1, nodes) if nodes % size == 0):
        smaller = replace(context, cluster=replace(context.cluster, nodes=count))
        if any(predict(smaller, layout).is_sure for layout in layouts(smaller.model, smaller.cluster)):
            return count
    return nodes
