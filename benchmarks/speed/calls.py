"""Timed calls of vLLM beside what the formula predicts for them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from vmn.core.planning.gpus import find_gpu
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.model.config_json import read_architecture
from vmn.core.planning.prediction import Prediction, VllmOptions, plan_context, predict
from vmn.core.speed.factors import FITTED, Factors
from vmn.core.speed.predict import SpeedContext, all_at_once, replica_of, speed, speed_context
from vmn.core.speed.replica import Replica
from vmn.core.speed.workload import Speed, Workload

DATA = Path(__file__).resolve().parents[2] / "tests/unit/speed_data"
"""One file for each session on real GPUs."""
VERSION = "0.33.0"


@dataclass(frozen=True, eq=False)
class Start:
    """A start of vLLM, and the calls that were timed on it.

    Attributes:
        name: its name.
        entry: its entry in the file: GPU, arguments, configuration, calls.
    """

    name: str
    entry: Mapping[str, Any]

    @cached_property
    def layout(self) -> Layout:
        """The layout that its arguments ask for."""
        args = self.entry["args"]
        return Layout(
            args.get("tensor_parallel_size", 1),
            args.get("pipeline_parallel_size", 1),
            args.get("data_parallel_size", 1),
            args.get("enable_expert_parallel", False),
        )

    @cached_property
    def context(self) -> SpeedContext:
        """The context of its speed."""
        args = self.entry["args"]
        options = VllmOptions(
            args["max_model_len"],
            args["gpu_memory_utilization"],
            args["max_num_batched_tokens"],
            args["max_num_seqs"],
            args.get("kv_cache_dtype", "auto"),
            args.get("enforce_eager", False),
            VERSION,
        )
        model = read_architecture(self.entry["config"])
        nodes = self.entry.get("nodes", 1)
        cluster = Cluster(nodes, self.layout.gpus // nodes, self.entry.get("network", "nvlink"), forced=True)
        found = speed_context(plan_context(model, find_gpu(self.entry["gpu"]), cluster, options))
        assert found
        return found

    @cached_property
    def prediction(self) -> Prediction:
        """What the planner says about its memory."""
        return predict(self.context.plan, self.layout)

    @cached_property
    def _replica(self) -> Replica:
        return replica_of(self.context, self.prediction)

    def replica(self, factors: Factors) -> Replica:
        """Return one of its data-parallel replicas with given factors; the rest is the same for all factors."""
        return replace(self._replica, formula=replace(self._replica.formula, factors=factors))


@dataclass(frozen=True, eq=False)
class Call:
    """A timed call.

    Attributes:
        start: the start that it was timed on.
        requests: requests that were handed over at once.
        prompt: tokens of each prompt.
        answer: tokens of each answer.
        seconds: until the last answer.
    """

    start: Start
    requests: int
    prompt: int
    answer: int
    seconds: float

    @cached_property
    def workload(self) -> Workload:
        """The same as a workload."""
        drafts = self.start.entry["args"].get("speculative_config", {})
        rates = drafts.get("synthetic_acceptance_rates", [0.0])
        return Workload(
            self.prompt,
            self.answer,
            requests=self.requests,
            drafts=drafts.get("num_speculative_tokens", 0),
            acceptance=rates[0],
        )

    def predicted(self, factors: Factors = FITTED) -> Speed:
        """Return the prediction with given factors."""
        return speed(replace(self.start.context, factors=factors), self.start.prediction, self.workload)

    @cache  # noqa: B019 - every fit begins with the same factors, and calls live as long as the program
    def error(self, factors: Factors = FITTED) -> float:
        """Return the relative error of the predicted seconds."""
        times = all_at_once(self.start.replica(factors), self.workload, self.start.layout.data)
        return times.total.total / self.seconds - 1

    @property
    def is_inside(self) -> bool:
        """Whether the measured seconds are inside the band."""
        makespan = self.predicted().makespan
        assert makespan
        return makespan.low <= self.seconds <= makespan.high


def starts() -> Iterator[Start]:
    """Yield all starts with timed calls."""
    for file in sorted(DATA.glob("*.json")):
        for entry in json.loads(file.read_text(encoding="utf-8"))["starts"]:
            yield Start(entry["name"], entry)


def calls() -> list[Call]:
    """Return all timed calls."""
    return [
        Call(start, requests, prompt, answer, seconds)
        for start in starts()
        for requests, prompt, answer, seconds in start.entry["calls"]
    ]
