"""Corrections from a real start, for other layouts and lengths of the same model and GPU."""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import Band, Batch

SLACK_GIB = 0.1
"""GiB by which another start may differ."""
SLACK_COMPILED = 0.1
"""The same as a share with compiled code, whose peak depends on the compiler's cache."""


@dataclass(frozen=True)
class Correction:
    """Ratios of measured to expected numbers, for each stage of the measured layout.

    In the same layout with the same batch, a number is the measured one, within ``SLACK_GIB``, or ``SLACK_COMPILED``
    with compiled code. In other layouts it is expected to be off by the same factor, and the ends of its band move
    halfway to the new expected number. Memory outside PyTorch only carries over between layouts that both have, or
    both do not have, several ranks per stage.

    Attributes:
        layout: the measured layout.
        batch: the measured batch.
        weights: ratios of the weights.
        activation: ratios of the peak activations.
        graphs: ratios of the CUDA graphs.
        non_torch: GiB outside PyTorch, None where the log does not have them.
    """

    layout: Layout
    batch: Batch
    weights: tuple[float, ...]
    activation: tuple[float, ...]
    graphs: tuple[float, ...]
    non_torch: tuple[float | None, ...]

    def stage(self, layout: Layout, stage: int) -> int:
        """Return the measured stage that is most similar to a stage of another layout: the last one for the last."""
        last = self.layout.pipeline - 1
        if layout.pipeline == self.layout.pipeline:
            return stage
        return last if stage == layout.pipeline - 1 else min(stage, max(0, last - 1))

    def weight_factor(self, layout: Layout, stage: int) -> float:
        """Return the factor for the weights."""
        return self.weights[self.stage(layout, stage)]

    def correct_activation(self, layout: Layout, batch: Batch, stage: int, band: Band) -> Band:
        """Return the corrected band of the peak activations."""
        return self._corrected(layout, batch, band, band.expected * self.activation[self.stage(layout, stage)])

    def correct_graphs(self, layout: Layout, batch: Batch, stage: int, band: Band) -> Band:
        """Return the corrected band of CUDA graphs."""
        return self._corrected(layout, batch, band, band.expected * self.graphs[self.stage(layout, stage)])

    def correct_non_torch(self, layout: Layout, batch: Batch, stage: int, band: Band) -> Band:
        """Return the corrected band of the memory outside PyTorch."""
        measured = self.non_torch[self.stage(layout, stage)]
        if measured is None or _is_grouped(layout) != _is_grouped(self.layout):
            return band
        return self._corrected(layout, batch, band, measured)

    def _corrected(self, layout: Layout, batch: Batch, band: Band, expected: float) -> Band:
        if not band.high:
            return band
        if (layout, batch) == (self.layout, self.batch):
            slack = max(SLACK_GIB, 0.0 if batch.eager else SLACK_COMPILED * expected)
            return Band(max(0.0, expected - slack), expected, expected + slack)
        return Band(
            min(expected, (band.low + expected) / 2), expected, max(expected + SLACK_GIB, (band.high + expected) / 2)
        )


def _is_grouped(layout: Layout) -> bool:
    return layout.tensor * layout.data > 1
