"""What a real start-up says of the soft terms, carried over to other layouts and lengths of the same model and GPU."""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import Band, Batch

SLACK_GIB = 0.1
"""GiB by which the same start-up may differ the next time."""
SLACK_COMPILED = 0.1
"""The same as a share, when code is compiled, whose peak depends on the compiler's cache."""


@dataclass(frozen=True)
class Correction:
    """Measured over expected, for each stage of the layout that was measured.

    In the same layout with the same batch, a term is what was measured, within ``SLACK_GIB``, or ``SLACK_COMPILED``
    when code is compiled. Elsewhere it is expected to be off by the same factor, and the ends of its band move half
    the way to what is then expected. What is outside of PyTorch carries over only between layouts that both have, or
    both lack, several ranks a stage.

    Attributes:
        layout: that was measured.
        batch: that was measured.
        weights: of model weights.
        activation: of the peak of activations.
        graphs: of CUDA graphs.
        non_torch: GiB outside of PyTorch; None where the log does not tell.
    """

    layout: Layout
    batch: Batch
    weights: tuple[float, ...]
    activation: tuple[float, ...]
    graphs: tuple[float, ...]
    non_torch: tuple[float | None, ...]

    def stage(self, layout: Layout, stage: int) -> int:
        """Return the measured stage that says most of a stage of another layout: the last for the last."""
        last = self.layout.pipeline - 1
        if layout.pipeline == self.layout.pipeline:
            return stage
        return last if stage == layout.pipeline - 1 else min(stage, max(0, last - 1))

    def weight_factor(self, layout: Layout, stage: int) -> float:
        """Return what to multiply weights with."""
        return self.weights[self.stage(layout, stage)]

    def correct_activation(self, layout: Layout, batch: Batch, stage: int, band: Band) -> Band:
        """Return the tightened band of the peak of activations."""
        return self._tightened(layout, batch, band, band.expected * self.activation[self.stage(layout, stage)])

    def correct_graphs(self, layout: Layout, batch: Batch, stage: int, band: Band) -> Band:
        """Return the tightened band of CUDA graphs."""
        return self._tightened(layout, batch, band, band.expected * self.graphs[self.stage(layout, stage)])

    def correct_non_torch(self, layout: Layout, batch: Batch, stage: int, band: Band) -> Band:
        """Return the tightened band of what is outside of PyTorch."""
        measured = self.non_torch[self.stage(layout, stage)]
        if measured is None or _is_grouped(layout) != _is_grouped(self.layout):
            return band
        return self._tightened(layout, batch, band, measured)

    def _tightened(self, layout: Layout, batch: Batch, band: Band, expected: float) -> Band:
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
