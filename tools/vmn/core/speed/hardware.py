"""What GPUs and links can do at most, from their makers' data sheets, and which of them were measured."""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.planning.gpus import Gpu

TIMED, SERVERS, NEVER = "timed calls", "servers", ""


@dataclass(frozen=True)
class Chip:
    """The limits of a GPU; FLOP/s are for dense matrices with sums in 32 bits.

    Attributes:
        bandwidth: bytes per second of its memory.
        flops: FLOP/s by the bytes of an element, 2 (BF16), 1 (FP8), or 0.5 (FP4); what is missing computes in BF16.
        nvlink: bytes per second to its peers in each direction, None for PCIe.
        source: where the numbers are from.
        measured: what the formula was compared with on this GPU: ``TIMED`` calls, to which its factors were fitted,
            public ``SERVERS``, or ``NEVER``.
    """

    bandwidth: float
    flops: dict[float, float]
    nvlink: float | None
    source: str
    measured: str = NEVER


def _chip(
    tb: float,
    bf16: float,
    fp8: float | None,
    fp4: float | None,
    nvlink: float | None,
    sheet: str,
    measured: str = NEVER,
) -> Chip:
    flops = {2.0: bf16, 1.0: fp8, 0.5: fp4}
    return Chip(
        tb * 1e12,
        {size: rate * 1e12 for size, rate in flops.items() if rate},
        nvlink * 1e9 if nvlink else None,
        f"NVIDIA's data sheet of the {sheet}" if not sheet.startswith("AMD") else sheet,
        measured,
    )


CHIPS = {
    "h100-80gb": _chip(3.35, 989, 1979, None, 450, "H100 SXM", SERVERS),
    "h100-94gb": _chip(3.9, 835, 1671, None, 300, "H100 NVL"),
    "h200-141gb": _chip(4.8, 989, 1979, None, 450, "H200 SXM", TIMED),
    "h20-96gb": _chip(4.0, 148, 296, None, 450, "H20"),
    "h20-141gb": _chip(4.8, 148, 296, None, 450, "H20"),
    "gh200-96gb": _chip(4.0, 989, 1979, None, 450, "GH200"),
    "b200": _chip(8.0, 2250, 4500, 9000, 900, "HGX B200", SERVERS),
    "gb200": _chip(8.0, 2500, 5000, 10000, 900, "GB200 NVL72"),
    "b300": _chip(8.0, 2250, 4500, 13500, 900, "HGX B300", SERVERS),
    "gb300": _chip(8.0, 2500, 5000, 15000, 900, "GB300 NVL72"),
    "a100-80gb": _chip(2.039, 312, None, None, 300, "A100 SXM"),
    "a100-40gb": _chip(1.555, 312, None, None, 300, "A100 SXM"),
    "a800-80gb": _chip(2.039, 312, None, None, 200, "A800"),
    "l40s": _chip(0.864, 362, 733, None, None, "L40S"),
    "l4": _chip(0.3, 121, 242, None, None, "L4"),
    "l20": _chip(0.864, 119.5, 239, None, None, "L20"),
    "a10g": _chip(0.6, 70, None, None, None, "A10G"),
    "rtx-3090": _chip(0.936, 71, None, None, None, "GeForce RTX 3090"),
    "rtx-4090": _chip(1.008, 165.2, 330.3, None, None, "GeForce RTX 4090"),
    "rtx-5090": _chip(1.792, 209.5, 419, 1676, None, "GeForce RTX 5090"),
    "rtx-pro-6000": _chip(1.597, 500, 1000, 2000, None, "RTX PRO 6000 Blackwell Server Edition"),
    "gb10": _chip(0.273, 125, 250, 500, None, "DGX Spark"),
    "mi300x": _chip(5.3, 1307, 2615, None, 448, "AMD's data sheet of the MI300X"),
    "mi325x": _chip(6.0, 1307, 2615, None, 448, "AMD's data sheet of the MI325X"),
    "mi355x": _chip(8.0, 2516, 5033, 10066, 538, "AMD's data sheet of the MI355X"),
}
"""The GPUs of ``planning.gpus`` by name."""


def chip_of(gpu: Gpu) -> Chip | None:
    """Return the limits of a GPU, None for one that only the user knows."""
    return CHIPS.get(gpu.name)


@dataclass(frozen=True)
class Link:
    """What an exchange between ranks costs: a fixed time, and bytes over a bandwidth.

    Attributes:
        delay: seconds of an all-reduce of few bytes between two ranks inside a CUDA graph.
        outside: the same outside a graph, or between processes that a graph can't hold.
        hop: seconds of sending few bytes from one stage to the next.
        bandwidth: bytes per second of an exchange, in one direction.
        source: where the numbers are from.
        measured: whether they were measured with vLLM.
        shared: bytes per second of an all-reduce over more than two ranks, None if it is the same.
    """

    delay: float
    outside: float
    hop: float
    bandwidth: float
    source: str
    measured: bool = False
    shared: float | None = None

    def reduces_at(self, ranks: int) -> float:
        """Return the bytes per second of an all-reduce over some ranks."""
        return self.shared if self.shared and ranks > 2 else self.bandwidth


PCIE = Link(25e-6, 40e-6, 60e-6, 20e9, "PCIe 4.0 x16 less its protocol; not measured")
NETWORK_LINKS = {
    "tcp": Link(75e-6, 137e-6, 77e-6, 2.8e9, "NCCL 2.30.7 and vLLM 0.33 between two pods, 2026-11-28", measured=True),
    "roce": Link(30e-6, 40e-6, 30e-6, 40e9, "one adapter of 400 Gbit/s for each GPU; not measured"),
    "infiniband": Link(25e-6, 35e-6, 25e-6, 42e9, "one adapter of 400 Gbit/s for each GPU; not measured"),
}
"""Links between nodes by the names of ``--network``; ``nvlink`` is as inside a node."""


def link_inside(chip: Chip) -> Link:
    """Return the link between the GPUs of a node."""
    if chip.nvlink is None:
        return PCIE
    source = "vLLM 0.33 on two H200, 2026-11-28" if chip.measured == TIMED else "as on two H200, by NVLink's bandwidth"
    nvlink = chip.nvlink
    return Link(5e-6, 15e-6, 20e-6, NVLINK_SHARE * nvlink, source, bool(chip.measured), NVLINK_RING_SHARE * nvlink)


NVLINK_SHARE = 0.4
"""Share of NVLink's bandwidth that an all-reduce between two H200 reaches (150 to 215 of 450 GB/s)."""

NVLINK_RING_SHARE = 0.7
"""The same over more GPUs, whose rings use all links of a switch: about 320 of 450 GB/s. Servers with 4 and 8
H100, H200, and B200 agree (docs/speed.md)."""


def link_between(chip: Chip, network: str) -> Link:
    """Return the link between nodes."""
    return NETWORK_LINKS.get(network) or link_inside(chip)
