"""Bytes of the weights of one rank, as vLLM loads them: matrices, norms, embedding, head, and copies at run time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from vmn.core.planning.blocks.block import Matrix, WeightShare
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.allocator import Storage
from vmn.core.planning.model.architecture import Architecture, Layer
from vmn.core.planning.model.checkpoint_sizes import part_of, share
from vmn.core.planning.model.module_names import format_of, head_format, module_names
from vmn.core.planning.model.quantization.format import MXFP8, Format

VOCABULARY_STEP = 64
"""vLLM pads the vocabulary to a multiple of this before it splits it (``DEFAULT_VOCAB_PADDING_SIZE``)."""

Formats = tuple[Format | None, ...]
"""How the matrices of a layer are stored, None for those that are not quantized."""
Weights = Mapping[str, float]
"""Bytes by purpose: embedding, attention, feed-forward, experts, routers, norms, copies, head, other, and ``rounding``
for what the allocator adds."""
WIDE = 2.0
"""Bytes of a weight that no kernel can multiply in MXFP8 (``EmulationMxfp8LinearKernel`` of 0.33)."""
CHECKPOINT = Storage()
"""Storage as in a checkpoint."""
ADDED = ("copies", "rounding")
"""Parts that no checkpoint has."""


def layer_matrices(model: Architecture, layer: Layer, layout: Layout, storage: Storage) -> list[Matrix]:
    """Return the matrices of a decoder layer on one rank, without norms of the size of a token's state."""
    share = WeightShare(model.hidden, layout, storage, model.has_packed_experts)
    return [matrix for block in layer.blocks for matrix in block.matrices(share)]


def stage_weights(
    model: Architecture,
    layout: Layout,
    stage: int,
    split: list[int] | None = None,
    storage: Storage = CHECKPOINT,
) -> dict[str, float]:
    """Return the bytes of the weights of a rank of a pipeline stage, by purpose.

    Args:
        model: shapes of the model.
        layout: layout of the model; the rank with the most experts counts.
        stage: index of the stage.
        split: number of layers of each stage, by default as vLLM splits them.
        storage: how weights are stored in memory, by default as in the checkpoint.
    """
    begin, end = model.stages(layout.pipeline)[stage]
    if split:
        begin, end = sum(split[:stage]), sum(split[: stage + 1])
    total: dict[str, float] = {}
    known = _kind_bytes(model, layout, storage)
    for kind, count, scales in _kinds_between(model, begin, end):
        for group, size in known[kind].items():
            total[group] = total.get(group, 0.0) + size * (count if group in ADDED else scales[part_of(group)])
    for group, size in _ends(model, layout, stage, storage).items():
        total[group] = total.get(group, 0.0) + size * (1.0 if group in (*ADDED, "other") else stored_shares(model)[-1])
    return total


@lru_cache(maxsize=1024)
def _kinds_between(model: Architecture, begin: int, end: int) -> Sequence[tuple[int, int, Sequence[float]]]:
    """Return each kind of some layers, which many layouts have in common, with its number and its shares by part."""
    parts, kinds = stored_part_shares(model), layer_kinds(model)
    return [
        (
            kind,
            count,
            [sum(each) for each in zip(*(parts[i] for i in range(begin, end) if kinds[i] == kind), strict=True)],
        )
        for kind, count in Counter(kinds[begin:end]).items()
    ]


@lru_cache(maxsize=64)
def stored_shares(model: Architecture) -> tuple[float, ...]:
    """Return for each layer the ratio of its size in the checkpoint to the size by its shapes, and for the rest.

    Raises:
        ConfigError: the checkpoint belongs to another model.
    """
    stored = model.stored
    if stored is None:
        return (1.0,) * (len(model.layers) + 1)
    alone = Layout()
    found, formats = [], layer_formats(model)
    for index, (layer, size) in enumerate(zip(model.layers[: model.depth], stored.layers, strict=True)):
        expected = _layer_bytes(model, layer, alone, formats[index], CHECKPOINT)
        found.append(share(size, _plain(expected), f"in layer {index}", stored.packed))
    ends = _ends(model, alone, 0, CHECKPOINT)
    found += [1.0] * model.drafts
    return (*found, share(stored.other, _plain(ends) - ends.get("other", 0.0), "outside layers"))


@lru_cache(maxsize=64)
def stored_part_shares(model: Architecture) -> tuple[tuple[float, float, float], ...]:
    """Return the same ratios for the parts of each layer; those of the layer where a part has other tensors.

    Raises:
        ConfigError: the checkpoint belongs to another model.
    """
    shares, stored = stored_shares(model), model.stored
    if stored is None or not stored.parts:
        return tuple((share, share, share) for share in shares[:-1])
    found = []
    for index, (layer, sizes) in enumerate(zip(model.layers[: model.depth], stored.parts, strict=True)):
        expected = [0.0, 0.0, 0.0]
        for group, size in _layer_bytes(model, layer, Layout(), layer_formats(model)[index], CHECKPOINT).items():
            if group not in ADDED:
                expected[part_of(group)] += size
        same = all(bool(size) == bool(wanted) for size, wanted in zip(sizes, expected, strict=True))
        each = [
            size / wanted if same and wanted else shares[index] for size, wanted in zip(sizes, expected, strict=True)
        ]
        found.append((each[0], each[1], each[2]))
    return (*found, *((1.0, 1.0, 1.0),) * model.drafts)


def _plain(sizes: Mapping[str, float]) -> float:
    return sum(size for group, size in sizes.items() if group not in ADDED)


@lru_cache(maxsize=64)
def layer_formats(model: Architecture) -> tuple[Formats, ...]:
    """Return for each layer how its matrices are stored, in the order of ``layer_matrices``."""
    return tuple(_formats(model, index) for index in range(len(model.layers)))


@lru_cache(maxsize=64)
def stored_kinds(model: Architecture) -> tuple[tuple[Layer, Formats], ...]:
    """Return the layers that differ in their shapes or formats, in their order."""
    return tuple(dict.fromkeys(zip(model.layers, layer_formats(model), strict=True)))


@lru_cache(maxsize=64)
def layer_kinds(model: Architecture) -> tuple[int, ...]:
    """Return for each layer the index of its kind in ``stored_kinds``: layers of the same kind have the same size."""
    kinds = {kind: number for number, kind in enumerate(stored_kinds(model))}
    return tuple(kinds[pair] for pair in zip(model.layers, layer_formats(model), strict=True))


def _formats(model: Architecture, index: int) -> Formats:
    matrices = layer_matrices(model, model.layers[index], Layout(), CHECKPOINT)
    return tuple(_format(model, matrix, index) for matrix in matrices)


@lru_cache(maxsize=64)
def _kind_bytes(model: Architecture, layout: Layout, storage: Storage) -> Sequence[Mapping[str, float]]:
    """Return the bytes of a layer of each of ``stored_kinds``, which all stages of a layout share."""
    return [_layer_bytes(model, layer, layout, formats, storage) for layer, formats in stored_kinds(model)]


def _layer_bytes(
    model: Architecture, layer: Layer, layout: Layout, formats: Formats, storage: Storage
) -> dict[str, float]:
    sizes: dict[str, float] = {}
    tensors: dict[str, float] = {}
    copies = 0.0
    for matrix, form in zip(layer_matrices(model, layer, layout, storage), formats, strict=True):
        each, scale = float(model.dtype_bytes), 0.0
        if matrix.each is not None:
            each = matrix.each
        elif form:
            each, scale = form.weight_bytes, form.scale_bytes
        if matrix.restored and (form or not storage.views_plain):
            copies += matrix.elements * model.dtype_bytes
        sizes[matrix.group] = sizes.get(matrix.group, 0.0) + matrix.elements * (each + scale)
        wider, more = _added(matrix, form, storage)
        copies += matrix.elements * (wider + more)
        tensor = matrix.tensor or matrix.module
        tensors[tensor] = tensors.get(tensor, 0.0) + matrix.elements * (each + wider)
    sizes["rounding"] = sum(storage.unused(size) for size in tensors.values())
    sizes["norms"] = float(sum(block.norms for block in layer.blocks) * model.hidden * model.dtype_bytes)
    if copies:
        sizes["copies"] = copies
    return sizes


def _added(matrix: Matrix, form: Format | None, storage: Storage) -> tuple[float, float]:
    """Return the bytes of an element that vLLM adds to the weight and to its scales when it loads a checkpoint."""
    if form is None or matrix.each is not None or not storage.rounded:
        return 0.0, 0.0
    wider = WIDE - form.weight_bytes if matrix.batched and storage.widens_mxfp8 and form.name == MXFP8.name else 0.0
    return wider, form.added_bytes


def _format(model: Architecture, matrix: Matrix, index: int) -> Format | None:
    if model.quantization is None or matrix.plain:
        return None
    names = module_names(matrix.module, index, model.prefixes)
    return format_of(model.quantization, names, is_expert=matrix.group == "experts")


def _ends(model: Architecture, layout: Layout, stage: int, storage: Storage) -> dict[str, float]:
    """Return what the first and the last stage have in addition to layers."""
    first, last = stage == 0, stage == layout.pipeline - 1
    rows = -(-model.vocabulary // VOCABULARY_STEP) * VOCABULARY_STEP / layout.tensor
    table = rows * model.hidden * model.dtype_bytes
    sizes: dict[str, float] = {}
    if count := _embeddings(model, first, last):
        sizes["embedding"] = count * table * (layout.tensor if model.embedding_is_copied else 1)
    if first and (tables := sum(part.size for part in model.tables if not part.in_host)):
        sizes["tables"] = tables / layout.tensor
    if last:
        sizes["norms"] = float(model.hidden * model.dtype_bytes) + model.last_weights
    if last and not model.tied:
        form = head_format(model.quantization)
        plain = rows * model.hidden * (model.head_bytes or model.dtype_bytes)
        sizes["head"] = rows * model.hidden * (form.weight_bytes + form.scale_bytes) if form else plain
    if first and model.extra_weights:
        whole = model.stored.encoder if model.stored else float(model.extra_weights * model.dtype_bytes)
        sizes["other"] = whole / layout.tensor  # ``mm_encoder_tp_mode`` is "weights" by default
    sizes["rounding"] = sum(storage.unused(size) for name, size in sizes.items() if name in ("embedding", "head"))
    return sizes


def _embeddings(model: Architecture, first: bool, last: bool) -> int:
    """Return how many tables of embeddings a stage has.

    A last stage that is not the first has one for a tied head, and one for drafts (``maybe_share_target_embed``).
    """
    if first:
        return 1
    return int(model.tied) + bool(model.drafts) if last else 0
