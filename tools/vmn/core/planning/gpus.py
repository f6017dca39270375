"""GPUs as vLLM sees them, with the total memory of ``cudaMemGetInfo`` instead of the nominal one."""

from __future__ import annotations

from dataclasses import dataclass, replace

HOPPER = 9
"""First number of the compute capability of Hopper GPUs."""
BLACKWELL = 10
"""The same of Blackwell GPUs for data centers."""
BLACKWELL_WORKSTATION = 12
"""The same of Blackwell GPUs for workstations."""


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
        capability: first number of CUDA's compute capability, None for other makers' GPUs and for those that only the
            user knows.
    """

    name: str
    product: str | None
    gib: float
    fp8: bool
    fp4: bool
    source: str
    capability: int | None = None

    @property
    def hopper(self) -> bool:
        """Whether it is a Hopper GPU, whose MXFP4 kernels store weights in their own way."""
        return self.capability == HOPPER


_LOGS = "published vLLM start-up logs, read 2026-11-22"
_SMI = "nvidia-smi in public logs, read 2026-11-29"
_NEAR = f"{_SMI}, less the 0.4 % that the driver keeps on a B200; about"
_NOMINAL = "its data sheet, in proportion to the MI300X; about"
_OWN = "own start-ups of vLLM 0.26, 2026-11-23 (150,109,880,320 bytes)"

GPUS = (
    Gpu("h100-80gb", "NVIDIA-H100-80GB-HBM3", 79.18, fp8=True, fp4=False, source=_LOGS, capability=9),
    Gpu("h200-141gb", "NVIDIA-H200", 150_109_880_320 / 2**30, fp8=True, fp4=False, source=_OWN, capability=9),
    Gpu("h20-96gb", None, 95.0, fp8=True, fp4=False, source=f"{_LOGS}; about", capability=9),
    Gpu("h20-141gb", None, 139.72, fp8=True, fp4=False, source=_LOGS, capability=9),
    Gpu("gh200-96gb", None, 94.97, fp8=True, fp4=False, source=_LOGS, capability=9),
    Gpu("b200", "NVIDIA-B200", 178.35, fp8=True, fp4=True, source=_LOGS, capability=10),
    Gpu("a100-80gb", "NVIDIA-A100-SXM4-80GB", 79.15, fp8=False, fp4=False, source=_LOGS, capability=8),
    Gpu("a100-40gb", "NVIDIA-A100-SXM4-40GB", 39.49, fp8=False, fp4=False, source=_LOGS, capability=8),
    Gpu("l40s", "NVIDIA-L40S", 44.39, fp8=True, fp4=False, source=_LOGS, capability=8),
    Gpu("l4", "NVIDIA-L4", 22.05, fp8=True, fp4=False, source=_LOGS, capability=8),
    Gpu("a10g", "NVIDIA-A10G", 22.05, fp8=False, fp4=False, source=_LOGS, capability=8),
    Gpu("rtx-4090", "NVIDIA-GeForce-RTX-4090", 23.55, fp8=True, fp4=False, source=_LOGS, capability=8),
    Gpu("rtx-5090", "NVIDIA-GeForce-RTX-5090", 31.36, fp8=True, fp4=True, source=_LOGS, capability=12),
    Gpu("gb10", None, 121.69, fp8=True, fp4=True, source=_LOGS, capability=12),
    Gpu("mi300x", None, 191.69, fp8=True, fp4=False, source=_LOGS),
    Gpu("h100-94gb", "NVIDIA-H100-NVL", 93.10, fp8=True, fp4=False, source=f"{_SMI}; about", capability=9),
    Gpu("gb200", "NVIDIA-GB200", 184.30, fp8=True, fp4=True, source=f"{_NEAR} (189,471 MiB)", capability=10),
    Gpu("b300", "NVIDIA-B300-SXM6-AC", 267.53, fp8=True, fp4=True, source=f"{_NEAR} (275,040 MiB)", capability=10),
    Gpu("gb300", "NVIDIA-GB300", 276.45, fp8=True, fp4=True, source=f"{_NEAR} (284,208 MiB)", capability=10),
    Gpu("rtx-pro-6000", None, 94.97, fp8=True, fp4=True, source="messages of PyTorch, read 2026-11-29", capability=12),
    Gpu(
        "a800-80gb", None, 79.15, fp8=False, fp4=False, source="as the A100, whose chip and memory it has", capability=8
    ),
    Gpu("l20", "NVIDIA-L20", 44.39, fp8=True, fp4=False, source=f"{_SMI}: 46,068 MiB, as the L40S", capability=8),
    Gpu("rtx-3090", None, 23.69, fp8=False, fp4=False, source=f"{_SMI}; about", capability=8),
    Gpu("mi325x", None, 255.59, fp8=True, fp4=False, source=f"256 GB by {_NOMINAL}"),
    Gpu("mi355x", None, 287.53, fp8=True, fp4=True, source=f"288 GB by {_NOMINAL}"),
)
ALIASES = {
    "h100": "h100-80gb",
    "h100-nvl": "h100-94gb",
    "h200": "h200-141gb",
    "h20": "h20-96gb",
    "h20-3e": "h20-141gb",
    "a100": "a100-80gb",
    "a800": "a800-80gb",
}


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
    raise UnknownGpu(
        f"{name} is not known. Use one of {', '.join(gpu.name for gpu in GPUS)}, or give its memory with --gpu-memory."
    )


def gpu_of(name: str, gib: float | None) -> Gpu:
    """Return a GPU by its name, with the memory that the user gives, if any.

    Args:
        name: name, alias, or product label; any name if ``gib`` is given.
        gib: total memory in GiB as ``cudaMemGetInfo`` reports it, None for that of the table.

    Raises:
        UnknownGpu: the GPU is not known, and no memory is given.
    """
    try:
        found = find_gpu(name)
    except UnknownGpu:
        if gib is None:
            raise
        return Gpu(name, None, gib, fp8=True, fp4=False, source="--gpu-memory")
    return found if gib is None else replace(found, gib=gib, source="--gpu-memory")
