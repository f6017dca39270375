"""How weights are stored: the formats, and which modules have which."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Format:
    """How the weights of one module are stored.

    Attributes:
        name: name of the format.
        weight_bytes: bytes of a weight.
        scale_bytes: bytes of its share of the scales and zero points.
        block: rows and columns that share a scale in block-wise FP8, which a shard must not cut; otherwise None.
        group: columns that share a scale, which a shard must not cut; None if they do not limit shards.
        added_bytes: bytes that vLLM adds to its share of the scales when it loads the weight.
    """

    name: str
    weight_bytes: float
    scale_bytes: float = 0.0
    block: tuple[int, int] | None = None
    group: int | None = None
    added_bytes: float = 0.0


@dataclass(frozen=True)
class FormatRule:
    """The format of the modules that some patterns match, None if they are not quantized."""

    patterns: tuple[str, ...]
    format: Format | None


@dataclass(frozen=True)
class Quantization:
    """How the weights of a checkpoint are stored, module by module.

    Attributes:
        method: name in the configuration.
        weight_bytes: bytes of a quantized weight that no rule is for.
        scale_bytes: bytes of its share of the scales.
        block: rows and columns that share a scale in block-wise FP8, which a shard must not cut; otherwise None.
        experts_only: whether only the routed experts are quantized.
        skipped: patterns of modules that are not quantized.
        group: columns that share a scale, which a shard must not cut; otherwise None.
        rules: formats of modules by name; the first rule that matches counts.
        others: whether modules without a rule are quantized.
        head: whether the output head is quantized.
        experts: format of the routed experts where it is another one (DeepSeek V4), otherwise None.
        added_bytes: bytes that vLLM adds to a weight's share of the scales when it loads the weight.
    """

    method: str
    weight_bytes: float
    scale_bytes: float = 0.0
    block: tuple[int, int] | None = None
    experts_only: bool = False
    skipped: tuple[str, ...] = ()
    group: int | None = None
    rules: tuple[FormatRule, ...] = ()
    others: bool = True
    head: bool = False
    experts: Format | None = None
    added_bytes: float = 0.0

    @cached_property
    def format(self) -> Format:
        """The format of modules that no rule is for."""
        return Format(self.method, self.weight_bytes, self.scale_bytes, self.block, self.group, self.added_bytes)

    def with_format(self, form: Format) -> Quantization:
        """Return the quantization with another format of modules that no rule is for."""
        return replace(
            self,
            method=form.name,
            weight_bytes=form.weight_bytes,
            scale_bytes=form.scale_bytes,
            block=form.block,
            group=form.group,
            added_bytes=form.added_bytes,
        )


SCALE_32 = 4.0
"""Bytes of a 32-bit scale."""
SCALE_16 = 2.0
"""Bytes of a 16-bit scale."""
FP8 = Format("fp8", 1.0)
FP8_BLOCKS = Format("fp8", 1.0, SCALE_32 / 128**2, (128, 128))
MXFP8 = Format("mxfp8", 1.0, 1 / 32, group=32)
MXFP8_BLOCKS = Format("mxfp8", 1.0, 1 / 32**2, group=32, added_bytes=1 / 32 - 1 / 32**2)
"""MXFP8 whose checkpoint has a scale for each block of 32 x 32 weights, which vLLM repeats for each of the 32 rows
(DeepSeek V4.1; ``DeepseekV4FP8Config.get_quant_method`` and ``KMxfp8Static.get_scale_weight_loader`` of 0.33)."""
MXFP4 = Format("mxfp4", 0.5, 1 / 32, group=32)


def stored_as(form: Format, method: str = "", **more: Any) -> Quantization:
    """Return the quantization of a checkpoint whose modules have one format, unless ``more`` says something else."""
    return Quantization(method or form.name, form.weight_bytes, form.scale_bytes, form.block, group=form.group, **more)


def nvfp4(group: int = 16) -> Format:
    """Return the format of 4-bit floating point with an 8-bit scale for each group of columns."""
    return Format("nvfp4", 0.5, 1 / group, group=group)
