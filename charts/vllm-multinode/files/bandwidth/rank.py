"""One rank: it meets the others, measures with them, and tells what all of them have found."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import gpu_health
import measure
import nccl_log
from adapters import port_rates
from meeting import MeetingError, RankWatch, meet
from settings import BandwidthSpec, RankPlace, say
from verdict import BANDWIDTH, LOG_OF_POD, BandwidthProblem, problems, summaries

Tell = Callable[[dict[str, Any]], object]


def run(place: RankPlace, spec: BandwidthSpec, tell: Tell) -> bool:
    """Measure together with the other ranks, and return whether nothing fails.

    Args:
        place: where this process is.
        spec: what to measure.
        tell: takes the answer: measurements, their summaries, and problems; the same on each rank.
    """
    log = Path(tempfile.mkdtemp(prefix="bandwidth-")) / "nccl.log"
    nccl_log.to_file(log)
    try:
        store = meet(place, spec)
    except MeetingError as error:
        tell(_failure(None, str(error)))
        return False
    watch = RankWatch(place, spec.limit, lambda failure: tell(_failure(failure["node"], failure["text"])))
    watch.start()
    try:
        measured = _measure(place, spec, store, log, watch)
    except Exception as error:  # whatever it is, the other ranks wait for this one
        warning = nccl_log.last_warning(_text(log))
        watch.fail(f"{watch.stage} failed: {_first_line(error)}{f' ({warning})' if warning else ''}", own=True)
        raise  # not reached: the process has ended
    watch.over.set()
    found = problems(measured, spec.floor)
    tell(_answer(measured, summaries(measured, spec.floor), found))
    dist.barrier()  # the first rank holds the store
    dist.destroy_process_group()
    return not any(one.fails for one in found)


def _measure(place: RankPlace, spec: BandwidthSpec, store: Any, log: Path, watch: RankWatch) -> dict[str, Any]:
    """Return what all ranks have found; the same on each rank."""
    patience = timedelta(seconds=spec.limit)
    watch.stage = "the connection of all ranks over Gloo"
    dist.init_process_group("gloo", store=store, rank=place.rank, world_size=place.world, timeout=patience)
    has_gpu = torch.cuda.is_available()
    names: list[Any] = [None] * place.world
    dist.all_gather_object(names, (place.node, has_gpu))
    nodes = {node: [rank for rank, (name, _) in enumerate(names) if name == node] for node, _ in names}
    lacking = {node: "PyTorch finds no GPU in this pod" for node, gpu in names if not gpu}
    watch.stage = "the start of NCCL"
    group = _group(place, nodes, not lacking, patience)
    measured: dict[str, Any] = {
        "backend": "nccl" if group.on_gpus else "gloo",
        "nodes": [*nodes],
        "ranks": place.world,
        "failures": lacking if spec.gpus or len(lacking) < len(nodes) else {},
    }
    with _observed(group) as health:
        measured |= _speeds(group, watch)
    node_of = {rank: node for node, ranks in nodes.items() for rank in ranks}
    ways = nccl_log.transports(_text(log), lambda rank: node_of[rank])
    own = {"node": place.node, "ways": ways, "health": health(), "ports": port_rates(), "sums": measured.pop("right")}
    watch.stage = "the exchange of results"
    return measured | _together(group.gathered(own), group)


def _group(place: RankPlace, nodes: dict[str, list[int]], on_gpus: bool, patience: timedelta) -> measure.RankGroup:
    """Return the group; each rank must create every process group, in the same order."""
    device, backend = torch.device("cpu"), "gloo"
    if on_gpus:
        device, backend = torch.device("cuda", place.local % torch.cuda.device_count()), "nccl"
        torch.cuda.set_device(device)
    data = dist.new_group(backend=backend, timeout=patience)
    local = None
    for ranks in nodes.values():
        if len(ranks) > 1:
            created = dist.new_group(ranks, backend=backend, timeout=patience)
            local = created if place.rank in ranks else local
    return measure.RankGroup(place.rank, nodes, dist.group.WORLD, data, local, device)


def _speeds(group: measure.RankGroup, watch: RankWatch) -> dict[str, Any]:
    found: dict[str, Any] = {"group": None, "links": [], "within": {}, "right": True}

    def stage(words: str) -> None:
        watch.stage = words
        if group.rank == 0:
            say(f"measuring: {words}")

    if group.size > 1:
        stage("an all-reduce over the group")
        found["right"] = measure.sums_are_right(group)
        found["group"] = measure.all_reduce(group)
        found["links"] = measure.links(group, stage)
    if any(len(ranks) > 1 for ranks in group.nodes.values()) and len(group.nodes) > 1:
        stage("an all-reduce in each node")
        found["within"] = measure.within(group)
    return found


@contextmanager
def _observed(group: measure.RankGroup) -> Iterator[Callable[[], dict[str, Any] | None]]:
    """Observe this rank's GPU, and give what returns its answer afterwards, None without a GPU."""
    if not group.on_gpus:
        yield lambda: None
        return
    name = f"GPU {group.device.index} ({torch.cuda.get_device_name(group.device)})"
    try:
        uuid = str(torch.cuda.get_device_properties(group.device).uuid)
        observed = gpu_health.Observed(gpu_health.NvmlGpu(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"))
    except (OSError, AttributeError) as error:
        unknown = {"gpu": name, "error": f"its health is not known: {error}"}
        yield lambda: unknown
        return
    with observed:
        yield lambda: {"gpu": name, **observed.answer()}


def _together(everyone: list[dict[str, Any]], group: measure.RankGroup) -> dict[str, Any]:
    """Return the findings of all ranks by node."""
    found: dict[str, Any] = {"transports": {}, "gpus": {}, "adapters": {}, "sums": {}}
    for node, ranks in group.nodes.items():
        own = [everyone[rank] for rank in ranks]
        between, within = ([*dict.fromkeys(name for one in own for name in one["ways"][at])] for at in (0, 1))
        found["transports"][node] = {"between": between, "within": within}
        found["gpus"][node] = [one["health"] for one in own if one["health"]]
        found["adapters"][node] = own[0]["ports"]
        found["sums"][node] = all(one["sums"] for one in own)
    return found


def _answer(measured: dict[str, Any], lines: dict[str, str], found: list[BandwidthProblem]) -> dict[str, Any]:
    return {"measured": measured, "summaries": lines, "problems": [one.plain() for one in found]}


def _failure(node: str | None, text: str) -> dict[str, Any]:
    return _answer({}, {}, [BandwidthProblem(BANDWIDTH, node, text, LOG_OF_POD)])


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
