"""Exact sizes of the weights of a checkpoint, from its files instead of its shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from vmn.core.planning.model.architecture import ConfigError, StoredWeights

LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
ENCODER = re.compile(r"(?:^|[._])(?:vision|visual|audio|multi_modal|mm)")
"""Names of tensors of encoders of images or sound, and of what connects them to the language model."""
WIDE = ("F32", "F64")
"""Types that vLLM loads with 16 bits, except for scales and biases."""
HOSTED = re.compile(r"\.ngram_embedding\.")
"""Names of tensors of tables of n-grams, which vLLM keeps in the host's memory (Qwen3.8-Flash-Next)."""
MIXER = re.compile(r"\.(?:self_attn|linear_attn|attn|attention|mixer)\.")
"""Names of tensors of what passes information between tokens."""
PACKED = re.compile(r"[IU]\d|F[48]")
"""Types of quantized weights, as safetensors names them."""
MOST_OFF = 2.0
"""Largest ratio between the sizes by files and by shapes; beyond that the files belong to another model."""
PACKED_LEAST = 0.2
"""Smallest such ratio of files with quantized weights: those of 4 bits with their scales are 0.25 to 0.3 of those of 16
bits, which ``config.json`` may not mention."""
EXPERTS, ATTENTION, REST = 0, 1, 2
"""Parts of a layer."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a checkpoint, as the header of its file describes it.

    Attributes:
        dtype: type, as safetensors names it.
        shape: lengths of its sides.
        size: size in bytes.
    """

    dtype: str
    shape: Sequence[int]
    size: int

    def loaded(self, name: str) -> float:
        """Return the bytes of the tensor once vLLM has loaded it."""
        if self.dtype not in WIDE or len(self.shape) < 2 or "scale" in name:
            return float(self.size)
        return prod(self.shape) * 2.0


def stored_weights(tensors: Mapping[str, Tensor], layers: int) -> StoredWeights:
    """Return the bytes of each decoder layer, and of the rest.

    Args:
        tensors: tensors of all files, by name.
        layers: number of decoder layers; further layers are for multi-token prediction and are not loaded.

    Raises:
        ConfigError: a layer has no tensors.
    """
    by_layer = [[0.0, 0.0, 0.0] for _ in range(layers)]
    encoder = other = 0.0
    for name, tensor in tensors.items():
        size, found = tensor.loaded(name), LAYER.search(name)
        if HOSTED.search(name):
            continue
        if ENCODER.search(name):
            encoder += size
        elif not found:
            other += size
        elif int(found[1]) < layers:
            by_layer[int(found[1])][_part(name)] += size
    empty = [index for index, sizes in enumerate(by_layer) if not any(sizes)]
    if empty:
        raise ConfigError(f"num_hidden_layers is {layers}, but the safetensors files have nothing for layer {empty[0]}")
    parts = tuple((sizes[EXPERTS], sizes[ATTENTION], sizes[REST]) for sizes in by_layer)
    packed = any(PACKED.match(tensor.dtype) for name, tensor in tensors.items() if LAYER.search(name))
    return StoredWeights(tuple(map(sum, by_layer)), other, encoder, parts, packed)


def _part(name: str) -> int:
    if ".experts." in name:
        return EXPERTS
    return ATTENTION if MIXER.search(name) else REST


def part_of(group: str) -> int:
    """Return the part of a layer to which a purpose of weights belongs."""
    return {"experts": EXPERTS, "attention": ATTENTION}.get(group, REST)


def share(stored: float, expected: float, what: str, packed: bool = False) -> float:
    """Return the ratio of the stored size to the expected one; it may be smaller if weights are quantized.

    Raises:
        ConfigError: the ratio is too large or too small for the same model.
    """
    found = stored / expected if expected else 1.0
    if not (PACKED_LEAST if packed else 1 / MOST_OFF) <= found <= MOST_OFF:
        raise ConfigError(
            f"the safetensors files have {stored / 2**30:.2f} GiB {what}, but the shapes in config.json need "
            f"{expected / 2**30:.2f} GiB: they are not of the same model"
        )
    return found
