"""Measuring a running release: one Job that asks it, and the plan's prediction for the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import choice
from typing import TYPE_CHECKING

from vmn.adapters import probe_job
from vmn.adapters.leaders import Leaders, bench_program
from vmn.app.plan_request import PlanRequest
from vmn.app.planner import PlanError, plan
from vmn.app.preflight import SUFFIX_LENGTH, SUFFIX_LETTERS
from vmn.core.bench.job import bench_run
from vmn.core.bench.points import Point
from vmn.core.bench.prefix import OFF, PrefixCache, prefix_cache
from vmn.core.bench.results import Measured, PodOutput, accepted, read_output
from vmn.core.planning.memory.activation import Band
from vmn.core.planning.prediction import Prediction
from vmn.core.planning.vllm.environment import VARIABLES
from vmn.core.planning.vllm.versions import LATEST, UnknownVersion, release
from vmn.core.preflight.probe.rbac import rules
from vmn.core.reporting import Say
from vmn.core.speed.predict import SpeedContext, speed, speed_context
from vmn.core.speed.workload import Speed, Workload

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


class BenchError(Exception):
    """A benchmark did not run to its end; the message says why."""


@dataclass(frozen=True)
class Expectation:
    """What the plan says about a release.

    Attributes:
        context: the model and the GPU.
        prediction: the layout.
        groups: groups of the release.
        prefixes: their prefix caches, None without any.
    """

    context: SpeedContext
    prediction: Prediction
    groups: int
    prefixes: PrefixCache | None = None

    def speed_of(self, point: Point, accepted: float | None = None) -> Speed:
        """Return the speed of a group with its part of a point.

        Args:
            point: what is asked.
            accepted: share of the drafts that were accepted, None if not known.
        """
        drafts = self.context.plan.batch.drafted if accepted is not None else 0
        cached = self.prefixes.share(point) if self.prefixes else 0.0
        asked = Workload(point.prompt, point.answer, cached=cached, drafts=drafts, acceptance=accepted or 0.0)
        most = math.ceil(point.most / self.groups)
        if point.rate:
            found = speed(self.context, self.prediction, replace(asked, rate=point.rate / self.groups))
            if not point.concurrency or not (found.overloaded or found.running > most):
                return until_the_last(found, point.requests / self.groups)
        return speed(self.context, self.prediction, replace(asked, concurrency=most))

    def hits_of(self, point: Point) -> float:
        """Return the share of the tokens of all prompts of a point, also before the measurement, that is cached."""
        return self.prefixes.share_of_all(point) if self.prefixes else 0.0


def until_the_last(found: Speed, requests: float) -> Speed:
    """Return the speed of requests at a rate with the tokens per second until the last answer of so many of them.

    ``vllm bench serve`` sends all of them in requests / rate seconds (0.33, ``get_request``), and counts until the last
    answer is complete. An overloaded group answers as fast as it can in the meantime.
    """
    workload = found.workload
    if not workload.rate or found.overloaded:
        return found
    sent, tokens = requests / workload.rate, requests * workload.answer
    first, each, steps = found.first, found.each, workload.answer - 1
    ends = ("high", "expected", "low")  # the slower a request is, the fewer tokens
    rates = [tokens / (sent + getattr(first, end) + getattr(each, end) * steps) for end in ends]
    return replace(found, rate=Band(*rates))


def expectation(
    leaders: Leaders, gpu: str | None = None, config: Path | None = None, network: str = "tcp"
) -> Expectation | str:
    """Return what the plan says about a release, or why it says nothing.

    Args:
        leaders: the release.
        gpu: kind of GPU; by default what the nodes' labels say.
        config: a ``config.json``, for a model that is not known.
        network: network between the nodes.
    """
    served, name = leaders.served, gpu or leaders.product
    if not name:
        return "the nodes have no label with their kind of GPU: name it with --gpu"
    flags, layout = served.flags, served.layout
    try:
        found = plan(
            PlanRequest(
                model=None if config else served.model,
                config=config,
                gpu=name,
                nodes=served.nodes,
                gpus_per_node=max(1, layout.gpus // served.nodes),
                network=network,
                force=True,
                tensor=layout.tensor,
                pipeline=layout.pipeline,
                data=layout.data,
                expert=layout.expert,
                decode_context=layout.decode_context,
                max_model_len=_number(flags.get("max-model-len")),
                max_num_batched_tokens=_number(flags.get("max-num-batched-tokens")),
                max_num_seqs=_number(flags.get("max-num-seqs")),
                kv_cache_dtype=flags.get("kv-cache-dtype", "auto"),
                enforce_eager="enforce-eager" in flags,
                gpu_memory_utilization=_share(flags.get("gpu-memory-utilization")),
                quantization=flags.get("quantization"),
                speculative_config=flags.get("speculative-config"),
                vllm_version=_version(served.version),
                env=tuple(f"{name}={value}" for name, value in served.env.items() if name in VARIABLES),
            )
        )
    except PlanError as error:
        return str(error)
    context = speed_context(found.context)
    if context is None:
        return f"the bandwidth of a {name} is not known"
    if found.best.rejected:
        return f"the plan refuses the layout: {found.best.rejected}"
    graphs = _number(flags.get("max-cudagraph-capture-size"))
    prefixes = prefix_cache(found.best, served.groups, found.context.model.is_hybrid, OFF not in flags)
    return Expectation(replace(context, graph_tokens=graphs), found.best, served.groups, prefixes)


def _share(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _version(tag: str) -> str:
    try:
        release(tag)
    except UnknownVersion:
        return LATEST
    return tag.removeprefix("v").partition("-")[0]


def measure(client: ApiClient, leaders: Leaders, points: Sequence[Point], seconds: int, say: Say) -> PodOutput:
    """Run a benchmark as a Job, and remove the Job however it ends.

    Args:
        client: client of the cluster.
        leaders: the release.
        points: what to measure.
        seconds: how long to wait at most.
        say: takes lines about progress.

    Raises:
        BenchError: the Job may not be created, or ended without all results.
        MissingError: the API server can't be reached.
        KeyboardInterrupt: the user or SIGTERM ended the benchmark; the Job is removed.
    """
    suffix = "".join(choice(SUFFIX_LETTERS) for _ in range(SUFFIX_LENGTH))
    run = bench_run(leaders.served, points, leaders.metrics, bench_program(), suffix, seconds)
    if lacking := probe_job.missing_rights(client, run):
        raise BenchError(f"You may not run the Job. {rules(lacking, run.namespace)}")
    say(f"running Job {run.name} in {run.namespace}, {len(points)} measurements, for at most {seconds} s")
    done = probe_job.run_probe(client, run, seconds, say, _progress(points, say))
    if isinstance(done, str):
        raise BenchError(done)
    found = read_output(done.logs.get(0, ""))
    if len(found.results) < len(points):
        raise BenchError(_why(found, done, len(points)))
    return found


def _why(found: PodOutput, done: probe_job.Watch, wanted: int) -> str:
    if found.error:
        return f"vllm bench serve failed:\n{found.error}"
    words = done.refused or "; ".join(pod.words for pod in done.pods if pod.words)
    return f"{len(found.results)} of {wanted} measurements came in time. {words or 'Raise --timeout, or ask for less.'}"


def _progress(points: Sequence[Point], say: Say) -> Callable[[str], None]:
    """Return a function that reports which points have begun and what ended."""
    told: set[str] = set()

    def heard(log: str) -> None:
        found = read_output(log)
        lines = [_begins(point, len(points)) for point in points[: found.begun]]
        lines += [f"measurement {index + 1}: {rate:,.0f} tokens/s" for index, rate in found.rates.items()]
        for line in lines:
            if line not in told:
                told.add(line)
                say(line)

    return heard


def _begins(point: Point, count: int) -> str:
    what = f"{point.requests} requests of {point.prompt} + {point.answer} tokens, {point.load}"
    return f"measurement {point.index + 1} of {count}: {what}"


def beside_prediction(points: Sequence[Point], found: PodOutput, expected: Expectation | None) -> list[Measured]:
    """Return the measurements beside the plan's prediction for exactly the same."""
    return [
        Measured(
            point,
            *found.results[point.index],
            predicted=expected.speed_of(point, accepted(found.results[point.index][1])) if expected else None,
            groups=expected.groups if expected else 1,
            planned_tokens=expected.prediction.tokens.low * expected.groups if expected else 0.0,
            planned_hits=expected.hits_of(point) if expected else None,
        )
        for point in points
    ]
