"""How far a prediction may be off, by what of it was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmn.core.planning.blocks.block import Block
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.model.quantization.format import Quantization
from vmn.core.speed.hardware import SERVERS
from vmn.core.speed.workload import Workload

if TYPE_CHECKING:
    from vmn.core.speed.predict import SpeedContext

MEASURED = 0.10
"""Half of a band's width, as a share, for dense models in 16 bits on a GPU and a link that were measured."""
EXPERTS = 0.08
"""What experts add: which of them a batch touches depends on the text."""
PIPELINE = 0.05
"""What a pipeline adds: how evenly requests spread over its groups is left to chance."""
ACROSS_NODES = 0.10
"""What a network between nodes adds."""
SERVED_GPU = 0.08
"""What a GPU adds on which only others measured servers."""
UNMEASURED_GPU = 0.30
"""What a GPU adds on which nothing was measured."""
MEASURED_FORMATS = ("fp8", "mxfp4", "nvfp4", "modelopt", "compressed-tensors", "int4")
"""Parts of the names of formats of weights that servers were measured with."""
UNMEASURED_PART = 0.15
"""What each other part adds that was not measured."""
ARRIVALS = 0.10
"""What requests add that do not come at once."""


@dataclass(frozen=True)
class Doubt:
    """How sure a prediction is.

    Attributes:
        width: half of the band's width, as a share of the expected value.
        calibrated: whether all of it was measured on hardware and a model of this kind.
        notes: what was not.
    """

    width: float
    calibrated: bool
    notes: tuple[str, ...]


def half_width(context: SpeedContext, layout: Layout, workload: Workload, makespan: float | None) -> Doubt:
    """Return how far a prediction may be off."""
    if context.own_width is not None:
        return Doubt(context.own_width + ARRIVALS * (workload.rate is not None), True, ())
    model, cluster = context.plan.model, context.plan.cluster
    unmeasured = [
        (layout.tensor > 2 and not context.chip.measured, "tensor parallelism over more than 2 GPUs"),
        (layout.pipeline > 2, "more than 2 pipeline stages"),
        (layout.data > 1, "data parallelism"),
        (cluster.nodes > 1 and cluster.network != "tcp", f"{cluster.network} between nodes"),
        (layout.decode_context > 1, "decode context parallelism"),
        (model.is_hybrid, "linear attention"),
        (model.is_sparse or any(_is_indexed(block) for block in model.blocks), "sparse attention"),
        (not _is_measured(model.quantization), "this format of weights"),
        (workload.drafts > 0, "multi-token prediction"),
        (workload.prompt > LONGEST_MEASURED, f"prompts over {LONGEST_MEASURED:,} tokens"),
    ]
    notes = [text for applies, text in unmeasured if applies]
    width = MEASURED + EXPERTS * model.is_moe + PIPELINE * (layout.pipeline > 1)
    width += ARRIVALS * (workload.requests is None) + ACROSS_NODES * (cluster.nodes > 1)
    width = (width**2 + len(notes) * UNMEASURED_PART**2) ** 0.5
    width += SERVED_GPU * (context.chip.measured == SERVERS)
    if not context.chip.measured:
        notes.insert(0, f"{context.plan.gpu.name} GPUs")
        width += UNMEASURED_GPU
    return Doubt(width, not notes, tuple(notes))


LONGEST_MEASURED = 32_000
"""Longest prompt of the timed calls, in tokens."""


def _is_measured(quantization: Quantization | None) -> bool:
    return quantization is None or any(part in quantization.method for part in MEASURED_FORMATS)


def _is_indexed(block: Block) -> bool:
    return isinstance(block, Attention) and block.index is not None
