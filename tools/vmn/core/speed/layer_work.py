"""What a rank does for one layer: bytes to read, and operations for each token.

The matrices are those of ``planning.memory.weights``, so that both sides of the planner know the same model.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.planning.blocks.block import FeedForward
from vmn.core.planning.blocks.feed_forward import Experts
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.weights import CHECKPOINT, Formats, layer_matrices
from vmn.core.planning.model.architecture import Architecture, Layer
from vmn.core.planning.model.quantization.format import Format
from vmn.core.speed.mixer_work import MixerWork, mixer_work

COMPUTES_IN_8_BITS = ("fp8", "modelopt")
"""Parts of the names of formats whose matrices are multiplied in 8 bits, where the GPU can."""


@dataclass(frozen=True)
class Gemm:
    """Matrices of one purpose and one format.

    Attributes:
        size: bytes on this rank.
        flops: operations for each token of the pass.
        element: bytes of an element in which it computes where the GPU can, 2 for BF16.
        packed: whether elements have fewer than 8 bits, so that kernels unpack them where the GPU can't compute in 4.
    """

    size: float
    flops: float
    element: float = 2.0
    packed: bool = False


@dataclass(frozen=True)
class LayerWork:
    """One layer on one rank.

    Attributes:
        mixers: attention or what is in its place, none in a layer without.
        gemms: matrices that every token passes.
        experts: routed experts, None without.
        count: experts that the router picks from.
        active: experts that a token passes.
        state_bytes: bytes of a token's state.
        parts: feed-forward parts, one with experts included.
    """

    mixers: tuple[MixerWork, ...]
    gemms: tuple[Gemm, ...]
    experts: Gemm | None
    count: int
    active: int
    state_bytes: float
    parts: int


def layer_work(model: Architecture, layer: Layer, formats: Formats, layout: Layout, fp8_cache: bool) -> LayerWork:
    """Return what a rank does for a layer.

    Args:
        model: shapes of the model.
        layer: the layer.
        formats: how its matrices are stored, in the order of ``layer_matrices``.
        layout: layout of the model.
        fp8_cache: whether the KV cache has 8 bits.
    """
    gemms, experts = _gemms(model, layer, formats, layout)
    mlp = layer.mlp
    count, active = (mlp.count + mlp.idle, mlp.active) if isinstance(mlp, Experts) else (0, 0)
    parts = sum(isinstance(block, FeedForward) for block in layer.blocks)
    mixers = tuple(work for block in layer.blocks for work in mixer_work(block, layout, fp8_cache))
    return LayerWork(mixers, gemms, experts, count, active, float(model.dtype_bytes * model.hidden), parts)


def _gemms(model: Architecture, layer: Layer, formats: Formats, layout: Layout) -> tuple[tuple[Gemm, ...], Gemm | None]:
    sizes: dict[tuple[str, float], tuple[float, float]] = {}
    stored = list(zip(layer_matrices(model, layer, layout, CHECKPOINT), formats, strict=True))
    for matrix, form in stored:
        each = float(model.dtype_bytes)
        if matrix.each is not None:
            each = matrix.each
        elif form:
            each = form.weight_bytes + form.scale_bytes
        size, flops = sizes.get((matrix.group, element_of(form)), (0.0, 0.0))
        sizes[matrix.group, element_of(form)] = size + matrix.elements * each, flops + 2 * matrix.elements
    experts = None
    if isinstance(layer.mlp, Experts):
        routed = {element: sizes.pop((group, element))[0] for group, element in list(sizes) if group == "experts"}
        size, flops = sum(routed.values()), _expert_flops(model, layer.mlp, layout)
        packed = any(form and form.weight_bytes < 1 for matrix, form in stored if matrix.group == "experts")
        experts = Gemm(size, flops, min(routed), packed)
    return tuple(Gemm(size, flops, element) for (_, element), (size, flops) in sizes.items()), experts


def _expert_flops(model: Architecture, mlp: Experts, layout: Layout) -> float:
    """Return a rank's operations for each token of all data-parallel replicas, if all experts are used equally."""
    elements = (mlp.ups + 1) * (mlp.latent or model.hidden) * mlp.intermediate
    working = mlp.count / (mlp.count + mlp.idle)
    return 2.0 * mlp.active * working * elements / (layout.tensor * layout.data)


def element_of(form: Format | None) -> float:
    """Return the bytes of an element in which a format computes where the GPU can: integers are unpacked to BF16."""
    name = form.name.lower() if form else ""
    if "nvfp4" in name:
        return 0.5
    return 1.0 if form and form.weight_bytes == 1 and any(part in name for part in COMPUTES_IN_8_BITS) else 2.0
