"""What a measurement means: which nodes are slow, and which GPUs are not well. Pure, and without PyTorch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

BANDWIDTH, TRANSPORT, HEALTH = "bandwidth", "transport", "gpu-health"
KINDS = (BANDWIDTH, TRANSPORT, HEALTH)
SLOW = 0.5
"""Share of the best direction, or of the best node, below which another one is slow: noise on a network that others use
is smaller, and a missing adapter, a fallback to TCP, or a lower link speed costs at least as much."""
THROTTLED = 0.1
"""Share of the time under load from which a throttled clock counts."""
SLOW_CLOCK = 0.6
"""Share of the median clock of all GPUs below which a GPU is slow. At its power cap, an H200 has 0.73 of its highest
clock (1455 of 1980 MHz, measured), and a slowdown by the hardware leaves at most half (nvml.h)."""
WAYS = {"hw_slowdown": "hardware slowdown", "sw_thermal": "temperature, by the driver", "hw_thermal": "temperature"}
WAYS["hw_power_brake"] = "power brake of the node's supply"
CABLE = "check its adapters, cables, and switch ports (`ibstat`, `rdma link`, `ethtool`), and any limit on its traffic"
LOG_OF_POD = "Read the log of this pod; the group can't communicate."
DRAIN = "Cordon the node, and reset the GPU (`nvidia-smi --gpu-reset`) or restart the node."
Measured = Mapping[str, Any]
Link = tuple[str, str, float]
"""Sender, receiver, and GB/s."""


@dataclass(frozen=True)
class BandwidthProblem:
    """Something wrong.

    Attributes:
        kind: one of KINDS.
        node: the node that has it, None for the group as a whole.
        text: what is wrong.
        fix: what to do.
        fails: whether vLLM should not start; otherwise it is a warning.
    """

    kind: str
    node: str | None
    text: str
    fix: str
    fails: bool = True

    def plain(self) -> dict[str, Any]:
        """Return it as a map."""
        return asdict(self)


def problems(measured: Measured, floor: float | None) -> list[BandwidthProblem]:
    """Return what is wrong.

    Args:
        measured: what all ranks have found.
        floor: least bus bandwidth of the group in GB/s, None to accept any.
    """
    low = floor is None or (measured.get("group") or {"rate": floor})["rate"] < floor
    found = [*_failures(measured), *_links(measured, low), *_within(measured), *_adapters(measured, low)]
    if floor is not None and low:
        found.append(_below(measured, floor, named=any(one.node for one in found)))
    return [*found, *_transports(measured), *_health(measured)]


def summaries(measured: Measured, floor: float | None) -> dict[str, str]:
    """Return one line for each kind about what was measured."""
    ranks = _counted(measured["ranks"], "GPU" if measured["backend"] == "nccl" else "CPU rank")
    return {
        BANDWIDTH: f"{ranks} on {_counted(len(measured['nodes']), 'node')}: {_speed(measured, floor)}",
        TRANSPORT: _ways(measured),
        HEALTH: _gpus(measured),
    }


def _speed(measured: Measured, floor: float | None) -> str:
    group = measured.get("group")
    if not group:
        return "nothing to measure"
    parts = [f"bus bandwidth {group['rate']:.3g} GB/s" + (f" (at least {floor:g})" if floor else "")]
    parts.append(f"all-reduce of {group['small_bytes'] // 1024} KiB in {group['small_seconds'] * 1e6:.0f} us")
    if rates := [rate for _, _, rate in measured["links"]]:
        parts.append(f"{_span(rates)} GB/s from node to node")
    return ", ".join(parts)


def _ways(measured: Measured) -> str:
    if measured["backend"] != "nccl":
        return "Gloo over TCP, as there are no GPUs"
    parts = []
    for place, words in (("between", "between the nodes"), ("within", "inside them")):
        names = dict.fromkeys(name for one in measured["transports"].values() for name in one[place])
        if names:
            parts.append(f"{words} {', '.join(names)}")
    return f"NCCL uses {'; '.join(parts)}" if parts else "NCCL's log names no transport"


def _gpus(measured: Measured) -> str:
    every = [gpu for gpus in measured["gpus"].values() for gpu in gpus]
    known = [gpu for gpu in every if "error" not in gpu]
    clocks = [gpu["clock"] for gpu in known if gpu["clock"]]
    more = f", at {_span(clocks)} MHz" if clocks else ""
    found = "" if any(True for _ in _health(measured)) else "no errors on "
    return f"{found}{_counted(len(known), 'GPU')}{more}" if known else "no GPUs to ask"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _span(values: Sequence[float]) -> str:
    """Return the lowest and the highest value, or the only one."""
    return " to ".join(dict.fromkeys(f"{value:.4g}" for value in (min(values), max(values))))


def _failures(measured: Measured) -> Iterator[BandwidthProblem]:
    for node, text in measured.get("failures", {}).items():
        yield BandwidthProblem(BANDWIDTH, node, text, LOG_OF_POD)
    wrong = [node for node, right in measured.get("sums", {}).items() if not right]
    for node in wrong:
        text = "an all-reduce returned wrong sums: data is damaged on the way or in a GPU"
        yield BandwidthProblem(BANDWIDTH, node if len(wrong) < len(measured["nodes"]) else None, text, DRAIN)


def _below(measured: Measured, floor: float, *, named: bool) -> BandwidthProblem:
    where = "" if named else "; no node stands out"
    fix = (
        "Correct the node that is named"
        if named
        else "Check the transport that NCCL has taken, the adapters of all nodes, and the network between them"
    )
    rate = measured["group"]["rate"]
    text = f"the bus bandwidth of the group is {rate:.3g} GB/s, and at least {floor:g} is expected{where}"
    return BandwidthProblem(
        BANDWIDTH, None, text, f"{fix}; or set fabric.bandwidthCheck.floorGBps to what this network has."
    )


def _links(measured: Measured, fails: bool) -> Iterator[BandwidthProblem]:
    """Yield the nodes that send or receive slowly, and the directions that no such node explains.

    Args:
        measured: what all ranks have found.
        fails: whether the group as a whole is too slow, too.
    """
    links: Sequence[Link] = [(sender, receiver, rate) for sender, receiver, rate in measured.get("links", ())]
    best = max((rate for _, _, rate in links), default=0.0)
    slow = [link for link in links if link[2] < SLOW * best]
    senders = {node for node in measured["nodes"] if _all_slow(node, 0, links, slow)}
    receivers = {node for node in measured["nodes"] if _all_slow(node, 1, links, slow)}
    if len(measured["nodes"]) == 2:  # both ends of the only way look the same
        receivers = set()
    for node in measured["nodes"]:
        if node in senders:
            yield _slow_node(node, 0, links, fails)
        if node in receivers:
            yield _slow_node(node, 1, links, fails)
    for sender, receiver, rate in slow:
        if sender not in senders and receiver not in receivers:
            text = f"sends to {receiver} at {rate:.3g} GB/s, and others at up to {best:.3g}"
            fix = f"Check the way from {sender} to {receiver}; other ways of both nodes are faster."
            yield BandwidthProblem(BANDWIDTH, sender, text, fix, fails)


def _all_slow(node: str, end: int, links: Sequence[Link], slow: Sequence[Link]) -> bool:
    """Return whether a node is slow to all of its neighbors, as the sender (0) or the receiver (1)."""
    own = [link for link in links if link[end] == node]
    return bool(own) and all(link in slow for link in own)


def _slow_node(node: str, end: int, links: Sequence[Link], fails: bool) -> BandwidthProblem:
    own = [link for link in links if link[end] == node]
    others = " and ".join(str(link[1 - end]) for link in own)
    verb, way, other = (("sends", "to", "receives"), ("receives", "from", "sends"))[end]
    opposite = [link[2] for link in links if link[1 - end] == node]
    text = f"{verb} {way} {others} at {max(link[2] for link in own):.3g} GB/s, and {other} at {max(opposite):.3g}"
    fix = f"On {node}, {CABLE}."
    if len(own) == 1:
        fix += f" With two nodes, the cause can also be how {others} {other}."
    return BandwidthProblem(BANDWIDTH, node, text, fix, fails)


def _within(measured: Measured) -> Iterator[BandwidthProblem]:
    rates: Mapping[str, float] = measured.get("within", {})
    best = max(rates.values(), default=0.0)
    for node, rate in rates.items():
        if rate < SLOW * best:
            text = f"the GPUs of this node reach {rate:.3g} GB/s among each other, and those of others {best:.3g}"
            fix = "Check NVLink on the node: nvidia-smi nvlink --status, nvidia-smi topo -m, and the fabric manager."
            yield BandwidthProblem(BANDWIDTH, node, text, fix)


def _adapters(measured: Measured, fails: bool) -> Iterator[BandwidthProblem]:
    lowest = {node: min(ports.values()) for node, ports in measured.get("adapters", {}).items() if ports}
    best = max(lowest.values(), default=0.0)
    for node, rate in lowest.items():
        if rate < best:
            names = ", ".join(name for name, own in measured["adapters"][node].items() if own == rate)
            text = f"{names} run at {rate:g} Gbit/s, and the ports of others at {best:g}"
            yield BandwidthProblem(BANDWIDTH, node, text, f"On {node}, {CABLE}.", fails)


def _transports(measured: Measured) -> Iterator[BandwidthProblem]:
    taken: Mapping[str, Mapping[str, Sequence[str]]] = measured.get("transports", {})
    for place, words in (("between", "between nodes"), ("within", "inside the node")):
        used = {node: ", ".join(sorted(one[place])) for node, one in taken.items() if one[place]}
        usual = Counter(used.values()).most_common(1)[0][0] if used else ""
        for node, names in used.items():
            if names != usual:
                text = f"NCCL uses {names} {words}, and {usual} on other nodes"
                fix = "Compare the nodes' drivers, adapters, and NCCL plugins; logging.nccl: INFO shows why."
                yield BandwidthProblem(TRANSPORT, node, text, fix)
    for node, one in taken.items():
        if any(name == "NET/IB" for name in one["between"]):
            text = "NCCL uses InfiniBand or RoCE without GPUDirect RDMA: all data goes through the host's memory"
            fix = "Load nvidia-peermem or use DMA-BUF on the node (a kernel 5.12 or newer, the open GPU driver)."
            yield BandwidthProblem(TRANSPORT, node, text, fix, fails=False)


def _health(measured: Measured) -> Iterator[BandwidthProblem]:
    clocks = [gpu["clock"] for gpus in measured["gpus"].values() for gpu in gpus if gpu.get("clock")]
    usual = median(clocks) if clocks else 0.0
    for node, gpus in measured["gpus"].items():
        for gpu in gpus:
            if "error" in gpu:
                yield BandwidthProblem(
                    HEALTH, node, f"{gpu['gpu']}: {gpu['error']}", "Check the driver of the node.", False
                )
            else:
                yield from _gpu(node, gpu, usual)


def _gpu(node: str, gpu: Mapping[str, Any], usual: float) -> Iterator[BandwidthProblem]:
    name = gpu["gpu"]
    broken = {
        "ecc": f"has {gpu['ecc']} uncorrected ECC errors since its last reset",
        "remap_failed": "could not replace a broken row of its memory",
        "recovery": f"asks for {gpu['recovery']}",
        "xids": f"reported XID {', '.join(map(str, gpu['xids']))} during the check",
    }
    for key, text in broken.items():
        if gpu[key]:
            yield BandwidthProblem(HEALTH, node, f"{name} {text}", DRAIN)
    if gpu["remap_pending"]:
        yield BandwidthProblem(
            HEALTH, node, f"{name} replaces a row of its memory at its next reset", DRAIN, fails=False
        )
    shares = {WAYS[reason]: share for reason, share in gpu["throttled"].items() if share >= THROTTLED}
    if shares:
        text = ", ".join(f"{reason} for {share:.0%} of the time" for reason, share in shares.items())
        yield BandwidthProblem(HEALTH, node, f"{name} lowers its clock: {text}", "Check cooling and power of the node.")
    elif gpu["clock"] and gpu["clock"] < SLOW_CLOCK * usual:
        text = f"{name} runs at {gpu['clock']:.0f} MHz, and most others at {usual:.0f}"
        fix = "Compare nvidia-smi -q -d CLOCK,POWER on the nodes: an administrator may have limited this GPU."
        yield BandwidthProblem(HEALTH, node, text, fix)
    now = gpu["pcie"]
    if now and now[:2] != now[2:]:
        text = f"{name} uses PCIe {now[0]} x{now[1]}, and its slot allows {now[2]} x{now[3]}"
        yield BandwidthProblem(
            HEALTH, node, text, "Reseat the GPU or its riser; look at nvidia-smi -q -d PCIE.", fails=False
        )
