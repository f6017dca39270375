"""Measured and published starts next to their predictions; prints the table of docs/planner.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gpu.measure import configuration as configuration_of
from gpu.measure import start_ups
from vmn.core.planning.gpus import find_gpu
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.kv_cache import KVCache, kv_cache
from vmn.core.planning.model.architecture import Architecture, ConfigError
from vmn.core.planning.model.config_json import read_architecture
from vmn.core.planning.prediction import PlanContext, Prediction, VllmOptions, plan_context, predict
from vmn.core.planning.startup_log.parse import parse_log

HERE = Path(__file__).parent
REGISTRY = HERE.parents[2] / "tools/vmn/data/models"
GIB = 2**30
KINDS = ("weights", "KV GiB", "KV tokens", "tokens from GiB")
"""What is compared: memory by the planner, and tokens from the measured GiB only."""


@dataclass(frozen=True)
class Point:
    """A measured start.

    Attributes:
        row: its number in the survey, or ``own`` for the project's.
        name: what was started.
        source: where the numbers are from.
        model: that was started.
        context: its GPU, version and options.
        layout: how it was spread.
        measured: numbers as printed by vLLM: GiB by stage as lists, tokens, and how it ended.
    """

    row: str
    name: str
    source: str
    model: Architecture
    context: PlanContext
    layout: Layout
    measured: Mapping[str, Any]

    @property
    def prediction(self) -> Prediction:
        """The prediction."""
        return predict(self.context, self.layout)

    @property
    def cache(self) -> KVCache:
        """The form of the KV cache."""
        context = self.context
        return kv_cache(
            context.model,
            self.layout,
            context.kv_dtype,
            context.batch.tokens,
            context.vllm,
            context.gpu.capability,
            context.batch.drafted,
        )

    def blocks(self, gib: float) -> int:
        """Return the number of blocks of a KV cache of some GiB, on the fullest stage."""
        cache = self.cache
        stages = self.context.model.stages(self.layout.pipeline)
        return int(gib * GIB) // max(cache.block_bytes(*bounds) for bounds in stages)

    def tokens(self, gib: float) -> int:
        """Return the tokens that vLLM prints for some GiB, on the fullest stage."""
        length = self.context.batch.length
        return int(self.blocks(gib) / self.cache.request_blocks(length) * length)


@cache
def configuration(name: str) -> Mapping[str, Any]:
    """Return the configuration of a model from the test data or the registry."""
    own = HERE / f"configs/{name}.json"
    if own.exists():
        content: Mapping[str, Any] = json.loads(own.read_text(encoding="utf-8"))
        return content
    entry = json.loads((REGISTRY / f"{name}.json").read_text(encoding="utf-8"))
    beside = {"hf_quant_config": entry["hf_quant_config"]} if entry.get("hf_quant_config") else {}
    return {**entry["config"], **beside}


def architecture(name: str, **change: object) -> Architecture:
    """Return a model's shapes, with some fields of its configuration changed."""
    return read_architecture({**configuration(name), **change})


def question_of(model: Architecture, gpu: str, layout: Layout, **options: Any) -> PlanContext:
    """Return the context of a layout on its number of GPUs, with the fastest network."""
    return plan_context(model, find_gpu(gpu), Cluster(1, layout.gpus, "nvlink"), VllmOptions(**options))


def published() -> list[Point]:
    """Return the published starts."""
    return [_published(entry) for entry in json.loads((HERE / "published.json").read_text(encoding="utf-8"))]


def _published(entry: Mapping[str, Any]) -> Point:
    model, layout = architecture(entry["model"], **entry.get("change", {})), Layout(**entry["layout"])
    context = question_of(model, entry["gpu"], layout, **entry.get("options", {}))
    return Point(entry["row"], entry["name"], entry["source"], model, context, layout, entry["measured"])


def own() -> list[Point]:
    """Return the starts that the project measured."""
    content = json.loads((HERE / "calibration.json").read_text(encoding="utf-8"))
    return [_own(entry, content["source"]) for entry in content["points"]]


def _own(entry: Mapping[str, Any], source: str) -> Point:
    args, seen = entry["args"], entry["measured"]
    name = Path(entry["config"]).stem
    layout = Layout(args["tensor"], args["pipeline"])
    model = architecture(name)
    context = question_of(
        model,
        entry["gpu"],
        layout,
        version=entry["vllm_version"],
        max_model_len=args["max_model_len"],
        utilization=args["gpu_memory_utilization"],
        batched_tokens=args["max_num_batched_tokens"],
        requests=args["max_num_seqs"],
        eager=args["enforce_eager"],
        kv_dtype=args["kv_cache_dtype"],
    )
    spread = "".join(f" {kind}{size}" for kind, size in (("TP", layout.tensor), ("PP", layout.pipeline)) if size > 1)
    measured = {
        "weights": seen["weights_gib_per_rank"],
        "activation": seen["peak_activation_gib"] or [],
        "non_torch": (seen["non_torch_gib"] or [None])[0],
        "available": [seen["available_kv_gib"]],
        "tokens": seen["kv_cache_tokens"],
        "complete": True,
    }
    text = f"{name}, H200{spread}, {args['max_num_batched_tokens']:,} tokens a step, 0.26"
    return Point("own", text, source, model, context, layout, measured)


def started() -> list[Point]:
    """Return the starts of ``tests/gpu`` of which the project has logs."""
    logs = {name: HERE / f"logs/h100-{name}.log" for name in start_ups()}
    return [_started(entry, logs[name]) for name, entry in start_ups().items() if logs[name].exists()]


def _started(entry: Mapping[str, Any], log: Path) -> Point:
    said, given, layout = parse_log(log.read_text(encoding="utf-8")), entry["options"], Layout()
    worker = said.stage(0, 1)[0]
    model = read_architecture(configuration_of(entry))
    context = question_of(
        model,
        "h100",
        layout,
        version=said.version,
        max_model_len=given["max_model_len"],
        utilization=given["gpu_memory_utilization"],
        batched_tokens=given["max_num_batched_tokens"],
        requests=given["max_num_seqs"],
        eager=given.get("enforce_eager", False),
        kv_dtype=given.get("kv_cache_dtype", "auto"),
    )
    measured = {
        "weights": [worker.weights_gib],
        "activation": [worker.activation_gib] if worker.activation_gib else [],
        "non_torch": worker.non_torch_gib,
        "available": [worker.available_gib] if worker.available_gib else None,
        "tokens": said.tokens,
        "complete": True,
    }
    name = entry["model"].partition("--")[2]
    return Point("own", f"{name}, H100, {entry['note']}, 0.26", "tests/gpu", model, context, layout, measured)


def of_today() -> list[Point]:
    """Return the project's starts of vLLM 0.33 of models that the planner supports."""
    content = json.loads((HERE / "points-0.33.json").read_text(encoding="utf-8"))
    return [_of_today(entry, content["source"]) for entry in content["points"] if _is_planned(entry["config"])]


def _is_planned(config: Mapping[str, Any]) -> bool:
    try:
        read_architecture(config)
    except ConfigError:
        return False
    return True


def _of_today(entry: Mapping[str, Any], source: str) -> Point:
    model, layout = (
        read_architecture(entry["config"]),
        Layout(entry["tensor"], entry.get("pipeline", 1), entry.get("data", 1), entry.get("expert", False)),
    )
    context = question_of(model, "h200", layout, **entry["options"])
    name = f"{entry['name']}, H200, 0.33"
    return Point("own", name, source, model, context, layout, {**entry["measured"], "complete": True})


def errors(point: Point) -> Iterator[tuple[str, float, float]]:
    """Yield measured and predicted numbers by kind; weights and GiB are of the first published stage."""
    measured, prediction = point.measured, point.prediction
    if not prediction.ranks:
        return
    rank = prediction.ranks[0]
    if measured.get("weights"):
        copies = rank.weights.get("copies", 0.0) if measured.get("without_copies") else 0.0
        yield "weights", measured["weights"][0], rank.weights_gib - copies
    if measured.get("available") and measured.get("complete"):
        yield "KV GiB", measured["available"][0], rank.available.expected
    if measured.get("tokens") and measured.get("complete"):
        yield "KV tokens", measured["tokens"], prediction.tokens.expected
    if measured.get("tokens") and measured.get("available") and point.layout.pipeline == 1:
        yield "tokens from GiB", measured["tokens"], point.tokens(measured["available"][0])


def table() -> str:
    """Return the table of all starts, and of the errors by kind."""
    rows = [
        (point, {kind: pair for kind, *pair in errors(point)})
        for point in [*own(), *started(), *of_today(), *published()]
    ]
    lines = ["| Start-up | Weights, GiB | KV cache, GiB | KV cache, tokens |", "| --- | --- | --- | --- |"]
    for point, found in rows:
        cells = [_cell(found.get(kind), digits) for kind, digits in (("weights", 2), ("KV GiB", 2), ("KV tokens", 0))]
        if set(cells) != {""}:
            lines.append(f"| {point.name} | {' | '.join(cells)} |")
    lines += ["", "| Error | Start-ups | Median | Worst |", "| --- | --- | --- | --- |"]
    for kind in KINDS:
        shares = [abs(pair[1] / pair[0] - 1) for _, found in rows if (pair := found.get(kind))]
        lines.append(f"| {kind} | {len(shares)} | {statistics.median(shares):.2%} | {max(shares):.2%} |")
    return "\n".join(lines)


def _cell(pair: list[float] | None, digits: int) -> str:
    if not pair:
        return ""
    measured, predicted = pair
    return f"{measured:,.{digits}f} / {predicted:,.{digits}f} ({predicted / measured - 1:+.1%})"


if __name__ == "__main__":
    print(table())
