"""What a rank does for one layer: bytes to read, and operations for each token.

The matrices are those of ``planning.memory.weight_matrices``, so that both sides of the planner know the same model.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.planning.blocks.compressed import CompressedAttention
from vmn.core.planning.blocks.feed_forward import Dense, Experts
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.blocks.latent import LatentAttention
from vmn.core.planning.blocks.states import KimiDeltaAttention, LightningAttention, LinearAttention, Mamba2
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.kv_cache import cache_is_fp8
from vmn.core.planning.memory.weights import CHECKPOINT, Formats, layer_matrices
from vmn.core.planning.model.architecture import Architecture, Layer
from vmn.core.planning.model.quantization.format import Format

STATE_FLOPS = 6
"""Operations for each element of a recurrent state and token of a prompt: decay, update, and read, each a multiply and
an add, without what a kernel computes twice for a chunk."""
COMPUTES_IN_8_BITS = ("fp8", "modelopt")
"""Parts of the names of formats whose matrices are multiplied in 8 bits, where the GPU can."""


@dataclass(frozen=True)
class Gemm:
    """Matrices of one purpose and one format.

    Attributes:
        size: bytes on this rank.
        flops: operations for each token of the pass.
        element: bytes of an element in which it computes where the GPU can, 2 for BF16.
    """

    size: float
    flops: float
    element: float = 2.0


@dataclass(frozen=True)
class MixerWork:
    """What passes information between tokens, without its matrices.

    Attributes:
        kind: ``grouped``, ``latent``, ``state``, or ``none``.
        kv_bytes: bytes of the KV cache for each token of the context.
        window: tokens that attention looks back at most, None for all.
        pair_flops: operations for each pair of a prompt's token and a token before it.
        decode_flops: the same while decoding.
        index_bytes: bytes of the indexer's keys for each token of the context.
        index_flops: operations of the indexer for each pair.
        state: bytes of a request's state.
        state_flops: operations on the state for each token.
        normed: whether queries and keys have norms.
    """

    kind: str = "none"
    kv_bytes: float = 0.0
    window: int | None = None
    pair_flops: float = 0.0
    decode_flops: float = 0.0
    index_bytes: float = 0.0
    index_flops: float = 0.0
    state: float = 0.0
    state_flops: float = 0.0
    normed: bool = False


@dataclass(frozen=True)
class LayerWork:
    """One layer on one rank.

    Attributes:
        mixer: attention or what is in its place.
        gemms: matrices that every token passes.
        experts: routed experts, None without.
        count: routed experts of the layer.
        active: experts that a token passes.
        state_bytes: bytes of a token's state.
        mlp: ``dense``, ``experts``, or ``none``.
    """

    mixer: MixerWork
    gemms: tuple[Gemm, ...]
    experts: Gemm | None
    count: int
    active: int
    state_bytes: float
    mlp: str


def layer_work(model: Architecture, layer: Layer, formats: Formats, layout: Layout, kv_dtype: str) -> LayerWork:
    """Return what a rank does for a layer.

    Args:
        model: shapes of the model.
        layer: the layer.
        formats: how its matrices are stored, in the order of ``layer_matrices``.
        layout: layout of the model.
        kv_dtype: ``--kv-cache-dtype``.
    """
    gemms, experts = _gemms(model, layer, formats, layout)
    mlp = layer.mlp
    count, active = (mlp.count, mlp.active) if isinstance(mlp, Experts) else (0, 0)
    kind = "experts" if experts else "dense" if isinstance(mlp, Dense) else "none"
    mixer = _mixer(layer.attention, layout, 1 if cache_is_fp8(model, kv_dtype) else 2)
    return LayerWork(mixer, gemms, experts, count, active, float(model.dtype_bytes * model.hidden), kind)


def _gemms(model: Architecture, layer: Layer, formats: Formats, layout: Layout) -> tuple[tuple[Gemm, ...], Gemm | None]:
    sizes: dict[tuple[str, float], tuple[float, float]] = {}
    for matrix, form in zip(layer_matrices(model, layer, layout, CHECKPOINT), formats, strict=True):
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
        experts = Gemm(sum(routed.values()), _expert_flops(model, layer.mlp, layout), min(routed))
    return tuple(Gemm(size, flops, element) for (_, element), (size, flops) in sizes.items()), experts


def _expert_flops(model: Architecture, mlp: Experts, layout: Layout) -> float:
    """Return a rank's operations for each token of all data-parallel replicas, if all experts are used equally."""
    elements = (mlp.ups + 1) * (mlp.latent or model.hidden) * mlp.intermediate
    return 2.0 * mlp.active * elements / (layout.tensor * layout.data)


def element_of(form: Format | None) -> float:
    """Return the bytes of an element in which a format computes where the GPU can: integers are unpacked to BF16."""
    name = form.name.lower() if form else ""
    if "nvfp4" in name:
        return 0.5
    return 1.0 if form and form.weight_bytes == 1 and any(part in name for part in COMPUTES_IN_8_BITS) else 2.0


def _mixer(mixer: object, layout: Layout, element: int) -> MixerWork:
    tensor = layout.tensor
    match mixer:
        case Attention():
            size = mixer.key_size + mixer.value_size
            pair = 2.0 * mixer.heads / tensor * size
            kept = max(1, mixer.kv_heads // tensor) * size * element / layout.decode_context
            look = mixer.window or mixer.chunk
            return MixerWork("grouped", kept, look, pair, pair, normed=mixer.normed)
        case LatentAttention():
            return _latent(mixer, layout, element)
        case LinearAttention():
            return _state(mixer.value_heads * mixer.key_size * mixer.value_size / tensor, mixer.recurrent_bytes)
        case Mamba2():
            return _state(mixer.heads * mixer.size * mixer.state / tensor, mixer.recurrent_bytes)
        case KimiDeltaAttention() | LightningAttention():
            return _state(mixer.heads * mixer.size**2 / tensor, mixer.recurrent_bytes)
        case CompressedAttention():
            return _compressed(mixer, layout, element)
        case _:
            return MixerWork()


def _state(elements: float, each: int) -> MixerWork:
    return MixerWork("state", state=elements * each, state_flops=STATE_FLOPS * elements)


def _latent(mixer: LatentAttention, layout: Layout, element: int) -> MixerWork:
    """Return the work of latent attention: decompressed for prompts, on compressed keys while decoding.

    Sparse attention computes on compressed keys for prompts as well, and its indexer looks at all tokens.
    """
    heads, share = mixer.heads / layout.tensor, layout.decode_context
    absorbed = 2.0 * heads * (2 * mixer.kv_rank + mixer.rope_size)
    plain = 2.0 * heads * (mixer.nope_size + mixer.rope_size + mixer.value_size)
    index = mixer.index_size if mixer.index_heads else 0
    return MixerWork(
        "latent",
        kv_bytes=(mixer.kv_rank + mixer.rope_size) * element / share,
        window=mixer.index_top or None,
        pair_flops=absorbed if mixer.index_top else plain,
        decode_flops=absorbed / share,
        index_bytes=index / share,
        index_flops=2.0 * mixer.index_heads * index,
    )


def _compressed(mixer: CompressedAttention, layout: Layout, element: int) -> MixerWork:
    """Return the work of compressed attention: one key and value for ``ratio`` tokens, of which an indexer picks."""
    ratio = max(1, mixer.ratio)
    pair = 4.0 * mixer.heads / layout.tensor * mixer.size / ratio
    index = mixer.index_size if mixer.index_heads else 0
    return MixerWork(
        "latent",
        kv_bytes=mixer.size * element / ratio,
        window=mixer.index_top * ratio if mixer.index_top else (None if mixer.ratio else mixer.window),
        pair_flops=pair,
        decode_flops=pair,
        index_bytes=index / ratio,
        index_flops=2.0 * mixer.index_heads * index / ratio,
    )
