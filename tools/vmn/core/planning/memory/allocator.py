"""How weights are stored in a GPU's memory: what is padded, and what PyTorch's allocator rounds up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MIB = 2**20
PACKED = 10 * MIB
"""Size below which PyTorch packs tensors into shared blocks; larger ones get their own block (``kMinLargeAlloc``)."""
BLOCK_STEP = 2 * MIB
"""The size of such a block is a multiple of this (``kRoundLarge``)."""
KEPT_REST = MIB
"""Largest rest of a block that PyTorch does not split off (``kSmallSize``)."""
WHOLE_FROM = 20 * MIB
"""Size of blocks that are never split while a model loads (``max_split_size_mb:20``, vllm#41268)."""
MX_GROUP = 32
"""Weights that share a scale in MXFP4."""

MxForm = Literal["plain", "inner", "scales", "both"]
"""What is padded in MXFP4 experts. ``plain``: nothing, as in the checkpoint. ``inner``: a matrix' inner side to 256, on
Hopper before 0.26 (gpt-oss-120b on 0.14 loads 64.38 GiB, which this gives to 0.1 %). ``scales``: their rows to 256 and
columns to 4, Triton's layout on Hopper since 0.26, which also takes biases of 32 bits. ``both``: hidden size to 256 and
width to 128, the kernels of other GPUs (``mxfp4_round_up_hidden_size_and_intermediate_size`` of 0.32)."""


@dataclass(frozen=True)
class Storage:
    """How a version of vLLM stores weights on a kind of GPU, by default as in the checkpoint.

    Attributes:
        rounded: whether PyTorch's allocator rounds up.
        whole_blocks: whether its blocks of 20 MiB and more are never split.
        mxfp4: what is padded in MXFP4 experts.
        views_plain: whether a 16-bit weight that kernels read in another order is not copied, but viewed.
        widens_mxfp8: whether batches of matrices in MXFP8 get 16 bits when they are loaded, and keep their scales: only
            data center GPUs of Blackwell have a kernel for them (``init_mxfp8_linear_kernel`` of 0.33).
    """

    rounded: bool = False
    whole_blocks: bool = False
    mxfp4: MxForm = "plain"
    views_plain: bool = False
    widens_mxfp8: bool = False

    def unused(self, size: float) -> float:
        """Return the unused bytes of the block of a tensor, which count as the tensor's."""
        if not self.rounded or size < PACKED:
            return 0.0
        rest = -size % BLOCK_STEP
        return rest if rest <= KEPT_REST or (self.whole_blocks and size >= WHOLE_FROM) else 0.0

    def mxfp4_bytes(self, hidden: int, width: float) -> dict[str, float]:
        """Return the bytes of the tensors of an expert, by their names in vLLM."""
        if self.mxfp4 == "both":
            hidden, width = int(_up(hidden, 256)), _up(width, 128)
        elif self.mxfp4 == "scales":
            width = _up(width, 64)
        sides = {"w13": (2 * width, float(hidden)), "w2": (float(hidden), width)}
        values = {f"{name}_weight": rows * self._inner(inner) / 2 for name, (rows, inner) in sides.items()}
        scales = {f"{name}_weight_scale": self._scales(*side) for name, side in sides.items()}
        return {**values, **scales}

    def _inner(self, size: float) -> float:
        return _up(size, 256) if self.mxfp4 == "inner" else size

    def _scales(self, rows: float, inner: float) -> float:
        if self.mxfp4 == "scales":
            return _up(rows, 256) * _up(inner / MX_GROUP, 4)
        return rows * inner / MX_GROUP

    @property
    def mxfp4_bias_bytes(self) -> int:
        """The bytes of an element of an expert's bias."""
        return 4 if self.mxfp4 == "scales" else 2


def _up(size: float, step: int) -> float:
    return -(-size // step) * step
