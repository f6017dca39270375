"""Which layouts a question is about: all of a cluster, or the one that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.prediction import PlanContext, Prediction, predict, predict_all


@dataclass(frozen=True)
class LayoutFilter:
    """Parts of a layout that were asked for, None for any."""

    tensor: int | None = None
    pipeline: int | None = None
    data: int | None = None
    expert: bool | None = None
    decode_context: int | None = None

    @property
    def is_one(self) -> bool:
        """Whether the ranks are given, so that the question is about one layout."""
        return any((self.tensor, self.pipeline, self.data))


def predictions(question: PlanContext, wanted: LayoutFilter) -> Sequence[Prediction]:
    """Return a prediction for each layout that is asked for, the best first; at least one, if only to say why not."""
    found = [
        prediction
        for prediction in ([] if wanted.is_one else predict_all(question))
        if wanted.expert in (None, prediction.layout.expert)
        and wanted.decode_context in (None, prediction.layout.decode_context)
    ]
    return found or [predict(question, one_layout(wanted, question.cluster))]


def one_layout(wanted: LayoutFilter, cluster: Cluster) -> Layout:
    """Return the layout with the given ranks, the others filled in: one copy, then stages for the rest of the GPUs."""
    data = wanted.data or 1
    if wanted.tensor:
        tensor = wanted.tensor
        pipeline = wanted.pipeline or max(1, cluster.gpus // (tensor * data))
    else:
        pipeline = wanted.pipeline or 1
        tensor = max(1, cluster.gpus // (pipeline * data))
    return Layout(tensor, pipeline, data, bool(wanted.expert), wanted.decode_context or 1)


def fewest_nodes(question: PlanContext) -> int:
    """Return the fewest nodes, a divisor of those there are, on which some layout surely fits; all when none does."""
    nodes = question.cluster.nodes
    for count in (size for size in range(1, nodes) if nodes % size == 0):
        smaller = replace(question, cluster=replace(question.cluster, nodes=count))
        if any(prediction.is_sure for prediction in predict_all(smaller)):
            return count
    return nodes
