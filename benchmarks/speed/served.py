"""Public measurements of servers beside what the formula predicts for them."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from speed.calls import DATA
from vmn.adapters.models import registered_model
from vmn.core.planning.gpus import find_gpu
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.model.architecture import Architecture
from vmn.core.planning.model.quantization.online import with_quantization
from vmn.core.planning.prediction import VllmOptions, plan_context, predict
from vmn.core.speed.predict import speed, speed_context
from vmn.core.speed.workload import Workload

FILE = DATA / "served.csv"
"""The rows of aiconfigurator's ``silicon_sample.csv`` at 095f58a51c4ca8e61b66ec108d86f223f8d559ce with vLLM."""
PEER_GPU = "h200"
PEERS = {"aiconfigurator 0.12.0": (0.251, 0.295)}
"""Median errors of the time to the first token and per further token on the rows of that GPU."""
UNQUANTIZED = {
    "nvidia/Llama-3.1-8B-Instruct-FP8": "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.1-70B": "meta-llama/Meta-Llama-3.1-70B",
}
"""Models of the registry whose weights those servers had in 8 bits."""
VERSION = "0.19.0"
"""Version of vLLM of rows that do not name theirs."""
ROOM = 256
"""Tokens that a request may have beyond its prompt and answer."""


@dataclass(frozen=True)
class Row:
    """A measured server.

    Attributes:
        gpu: the GPU.
        model: the model.
        layout: its layout.
        version: version of vLLM.
        workload: what was asked.
        first: measured seconds to the first token.
        each: measured seconds per further token.
    """

    gpu: str
    model: str
    layout: Layout
    version: str
    workload: Workload
    first: float
    each: float

    def errors(self) -> tuple[float, float] | None:
        """Return the relative errors of both predictions, None if the layout is refused."""
        cluster = Cluster(1, self.layout.gpus, "nvlink")
        length = self.workload.prompt + self.workload.answer + ROOM
        options = VllmOptions(max_model_len=length, version=self.version)
        plan = plan_context(architecture(self.model), find_gpu(self.gpu), cluster, options)
        prediction, context = predict(plan, self.layout), speed_context(plan)
        if prediction.rejected or context is None:
            return None
        found = speed(context, prediction, self.workload)
        return found.first.expected / self.first - 1, found.each.expected / self.each - 1


@cache
def architecture(name: str) -> Architecture:
    """Return a model's shapes, with weights in 8 bits where the servers had them so."""
    model = registered_model(UNQUANTIZED.get(name, name))
    if name not in UNQUANTIZED:
        return model.architecture
    return with_quantization(model.architecture, model.config, "fp8_per_tensor", (0, 19))


def rows() -> Iterator[Row]:
    """Yield all measured servers."""
    with FILE.open(encoding="utf-8") as file:
        for entry in csv.DictReader(file):
            layout = Layout(int(entry["tensor"]), 1, int(entry["data"]), entry["expert"] == "1")
            prompt, answer, count = (int(entry[name]) for name in ("prompt", "answer", "concurrency"))
            first, each = (float(entry[name]) / 1000 for name in ("ttft_ms", "tpot_ms"))
            version = entry["version"] or VERSION
            asked = Workload(prompt, answer, concurrency=count)
            yield Row(entry["gpu"], entry["model"], layout, version, asked, first, each)


Errors = Sequence[tuple[float, float]]
"""Relative errors of the time to the first token and per further token."""


@cache
def errors_by_kind() -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return the errors by GPU and model."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows():
        if errors := row.errors():
            found.setdefault((row.gpu, row.model), []).append(errors)
    return dict(sorted(found.items()))


def errors_of(gpu: str) -> list[tuple[float, float]]:
    """Return the errors of all servers with a GPU."""
    return [error for (own, _), errors in errors_by_kind().items() if own == gpu for error in errors]


def table() -> str:
    """Return a row for each GPU and model, and one for each peer."""
    lines = [
        "| GPU | Model | Measurements | Time to first token: median error | Time per token: median error |",
        "| --- | --- | --- | --- | --- |",
        *(_line(gpu, name, errors) for (gpu, name), errors in errors_by_kind().items()),
    ]
    for gpu in dict.fromkeys(gpu for gpu, _ in errors_by_kind()):
        lines.append(_line(gpu, "**all**", errors_of(gpu)))
    for name, (first, each) in PEERS.items():
        lines.append(f"| {PEER_GPU} | all, by {name} | {len(errors_of(PEER_GPU))} | {first:.1%} | {each:.1%} |")
    return "\n".join(lines)


def _line(gpu: str, name: str, errors: Errors) -> str:
    first, each = medians(errors)
    return f"| {gpu} | {name} | {len(errors)} | {first:.1%} | {each:.1%} |"


def medians(errors: Errors) -> tuple[float, float]:
    """Return the medians of the errors' sizes."""
    first, each = (statistics.median(abs(error[index]) for error in errors) for index in (0, 1))
    return first, each
