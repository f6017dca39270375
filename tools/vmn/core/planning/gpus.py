"""GPUs as vLLM sees them, with the total memory of ``cudaMemGetInfo`` instead of the nominal one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU.

    Attributes:
        name: name on the command line.
        product: label of its nodes by GPU feature discovery (``nvidia.com/gpu.product``), None when it is not known.
        gib: total memory in GiB, as vLLM prints it.
        fp8: whether it computes in 8-bit floating point; others unpack FP8 weights to 16 bits (Marlin kernels).
        fp4: whether it computes in 4-bit floating point.
        source: where ``gib`` is from.
        hopper: whether it is a Hopper GPU, whose MXFP4 kernels store weights in their own way.
    """

    name: str
    product: str | None
    gib: float
    fp8: bool
    fp4: bool
    source: str
    hopper: bool = False


_LOGS = "published vLLM start-up logs, read 2026-11-22"
_OWN = "own start-ups of vLLM 0.26, 2026-11-23 (150,109,880,320 bytes)"

GPUS = (
    Gpu("h100-80gb", "NVIDIA-H100-80GB-HBM3", 79.18, fp8=True, fp4=False, source=_LOGS, hopper=True),
    Gpu("h200-141gb", "NVIDIA-H200", 150_109_880_320 / 2**30, fp8=True, fp4=False, source=_OWN, hopper=True),
    Gpu("h20-96gb", None, 95.0, fp8=True, fp4=False, source=f"{_LOGS}; about", hopper=True),
    Gpu("h20-141gb", None, 139.72, fp8=True, fp4=False, source=_LOGS, hopper=True),
    Gpu("gh200-96gb", None, 94.97, fp8=True, fp4=False, source=_LOGS, hopper=True),
    Gpu("b200", "NVIDIA-B200", 178.35, fp8=True, fp4=True, source=_LOGS),
    Gpu("a100-80gb", "NVIDIA-A100-SXM4-80GB", 79.15, fp8=False, fp4=False, source=_LOGS),
    Gpu("a100-40gb", "NVIDIA-A100-SXM4-40GB", 39.49, fp8=False, fp4=False, source=_LOGS),
    Gpu("l40s", "NVIDIA-L40S", 44.39, fp8=True, fp4=False, source=_LOGS),
    Gpu("l4", "NVIDIA-L4", 22.05, fp8=True, fp4=False, source=_LOGS),
    Gpu("a10g", "NVIDIA-A10G", 22.05, fp8=False, fp4=False, source=_LOGS),
    Gpu("rtx-4090", "NVIDIA-GeForce-RTX-4090", 23.55, fp8=True, fp4=False, source=_LOGS),
    Gpu("rtx-5090", "NVIDIA-GeForce-RTX-5090", 31.36, fp8=True, fp4=True, source=_LOGS),
    Gpu("gb10", None, 121.69, fp8=True, fp4=True, source=_LOGS),
    Gpu("mi300x", None, 191.69, fp8=True, fp4=False, source=_LOGS),
)
ALIASES = {"h100": "h100-80gb", "h200": "h200-141gb", "h20": "h20-96gb", "a100": "a100-80gb", "h20-3e": "h20-141gb"}


class UnknownGpu(Exception):  # noqa: N818 - reads as what happened
    """A GPU is not in the table."""


def find_gpu(name: str) -> Gpu:
    """Return a GPU by its name, an alias, or its product label.

    Raises:
        UnknownGpu: the GPU is not known; the message lists the known ones.
    """
    wanted = ALIASES.get(name.lower(), name.lower())
    for gpu in GPUS:
        if wanted in (gpu.name, (gpu.product or "").lower()):
            return gpu
    raise UnknownGpu(f"{name} is not known. Use one of {', '.join(gpu.name for gpu in GPUS)}.")
