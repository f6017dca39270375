"""The speed of a layout that fits: the engine that the planner's prediction describes, and the bands of its numbers."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from vmn.core.planning.layout.constraints import spans_nodes
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import Band
from vmn.core.planning.memory.kv_cache import cache_is_fp8
from vmn.core.planning.memory.weights import VOCABULARY_STEP, Formats, layer_formats
from vmn.core.planning.model.architecture import Layer
from vmn.core.planning.model.module_names import head_format
from vmn.core.planning.prediction import PlanContext, Prediction
from vmn.core.planning.vllm.model_runner import batches_in_flight
from vmn.core.planning.vllm.versions import LARGE_GPU_GIB
from vmn.core.speed.at_once import Times, at_once
from vmn.core.speed.bands import half_width
from vmn.core.speed.factors import FITTED, Factors
from vmn.core.speed.hardware import Chip, Link, chip_of, link_between, link_inside
from vmn.core.speed.layer_work import Gemm, LayerWork, element_of, layer_work
from vmn.core.speed.passes import Exchange, Formula, ModelWork, Parts
from vmn.core.speed.replica import Replica, Stages
from vmn.core.speed.steady import at_rate, kept_up
from vmn.core.speed.workload import Speed, Workload

MOST_GRAPH_TOKENS = 512
"""Tokens of the largest CUDA graph (``max_cudagraph_capture_size``), twice as many on GPUs of 160 GiB and more."""
SENT_STATES = 2
"""States of a token that go to the next stage: the hidden state and the residual, of which each tensor parallel rank
sends its share (``isend_tensor_dict`` with ``all_gather_group``)."""


@dataclass(frozen=True)
class SpeedContext:
    """What the speeds of all layouts of a plan share.

    Attributes:
        plan: what the layouts share.
        chip: limits of the GPU.
        factors: fitted numbers.
        own_width: half of the band's width by timed calls of this machine, None without a calibration.
        graph_tokens: ``--max-cudagraph-capture-size``, None for vLLM's default.
    """

    plan: PlanContext
    chip: Chip
    factors: Factors = FITTED
    own_width: float | None = None
    graph_tokens: int | None = None

    @property
    def largest_graph(self) -> int:
        """Tokens of the largest CUDA graph, 0 without graphs."""
        batch = self.plan.batch
        if batch.eager:
            return 0
        large = self.plan.gpu.gib >= LARGE_GPU_GIB
        return self.graph_tokens or min(2 * batch.requests, MOST_GRAPH_TOKENS * (2 if large else 1))

    @cached_property
    def kinds(self) -> tuple[tuple[Layer, Formats, int], ...]:
        """The different layers with their formats and number."""
        model = self.plan.model
        counted = Counter(list(zip(model.layers, layer_formats(model), strict=True))[: model.depth])
        return tuple((*kind, count) for kind, count in counted.items())


def speed_context(plan: PlanContext) -> SpeedContext | None:
    """Return the context of speeds, None for a GPU whose limits are not known."""
    chip = chip_of(plan.gpu)
    return SpeedContext(plan, chip) if chip else None


def speed(context: SpeedContext, prediction: Prediction, workload: Workload) -> Speed:
    """Return how fast a layout that fits does a workload."""
    layout = prediction.layout
    replica = replica_of(context, prediction)
    share = 1 / layout.data
    overloaded, makespan = False, None
    if workload.requests is not None:
        times = all_at_once(replica, workload, layout.data)
        makespan = times.total.total
        rate = workload.requests * workload.answer / makespan
    elif workload.concurrency is not None:
        times = kept_up(replica, workload, max(1.0, workload.concurrency * share))
        rate = min(workload.concurrency, times.running * layout.data) * workload.answer / times.total.total
    else:
        asked = workload.rate or 0.0
        times, overloaded = at_rate(replica, workload, asked * share)
        rate = (
            times.running * layout.data * workload.answer / times.total.total if overloaded else asked * workload.answer
        )
    return _with_bands(context, prediction, workload, times, rate, makespan, overloaded)


def all_at_once(replica: Replica, workload: Workload, replicas: int) -> Times:
    """Return the times of requests that come together, of which each of the replicas gets its share.

    Args:
        replica: one replica.
        workload: what is asked, with the number of requests.
        replicas: data-parallel replicas.
    """
    return at_once(replica, workload, float(max(1, -(-(workload.requests or 0) // replicas))))


def _with_bands(
    context: SpeedContext,
    prediction: Prediction,
    workload: Workload,
    times: Times,
    rate: float,
    makespan: float | None,
    overloaded: bool,
) -> Speed:
    layout = prediction.layout
    doubt = half_width(context, layout, workload, makespan)
    running = times.running * layout.data
    return Speed(
        workload,
        _band(times.first, doubt.width * (1.5 if workload.requests else 2.5)),
        _band(times.each, doubt.width),
        _band(rate, doubt.width if not workload.rate or overloaded else 0.0),
        _band(makespan, doubt.width) if makespan is not None else None,
        _bound(times.total),
        running,
        layout.gpus,
        doubt.calibrated,
        doubt.notes,
        overloaded,
    )


def _band(expected: float, width: float) -> Band:
    return Band(expected / (1 + width), expected, expected * (1 + width))


def _bound(parts: Parts) -> str:
    """Return what takes most of the time."""
    found = {
        "memory bandwidth": parts.memory,
        "compute": parts.compute,
        "all-reduce": parts.exchange,
        "pipeline": parts.pipeline,
        "host": parts.host,
    }
    return max(found, key=lambda name: found[name])


def replica_of(context: SpeedContext, prediction: Prediction) -> Replica:
    """Return one data-parallel replica of a layout."""
    plan, layout = context.plan, prediction.layout
    model = plan.model
    fp8_cache = cache_is_fp8(model, plan.kv_dtype, plan.gpu.capability)
    layers = [(layer_work(model, layer, formats, layout, fp8_cache), count) for layer, formats, count in context.kinds]
    graph = context.largest_graph
    head = _head(context, layout)
    inside, between = link_inside(context.chip), link_between(context.chip, plan.cluster.network)
    formula = Formula(context.chip, context.factors, _exchange(plan, layout, inside, between))
    return Replica(
        formula,
        ModelWork(layers, head, graph),
        _draft(layers, head, graph),
        Stages(
            layout.pipeline,
            max(min(end, model.depth) - begin for begin, end in model.stages(layout.pipeline)) / model.depth,
            between if plan.cluster.nodes > 1 else inside,
            SENT_STATES * float(model.dtype_bytes * model.hidden) / layout.tensor,
            batches_in_flight(model, layout, plan.vllm) if layout.pipeline > 1 else 1,
        ),
        plan.batch.tokens,
        plan.batch.requests,
        prediction.tokens.expected / layout.data,
    )


def _head(context: SpeedContext, layout: Layout) -> Gemm:
    model = context.plan.model
    form = head_format(model.quantization)
    elements = -(-model.vocabulary // VOCABULARY_STEP) * VOCABULARY_STEP / layout.tensor * model.hidden
    each = form.weight_bytes + form.scale_bytes if form else float(model.head_bytes or model.dtype_bytes)
    return Gemm(elements * each, 2 * elements, element_of(form))


def _draft(layers: list[tuple[LayerWork, int]], head: Gemm, graph: int) -> ModelWork:
    """Return what drafting a token costs: one layer of the last kind, a projection of two states, the head."""
    last = layers[-1][0]
    width = last.state_bytes / 2
    joined = Gemm(4 * width * width, 4 * width * width)
    return ModelWork([(dataclasses.replace(last, gemms=(*last.gemms, joined)), 1)], head, graph)


def _exchange(plan: PlanContext, layout: Layout, inside: Link, between: Link) -> Exchange:
    cluster = plan.cluster
    tensor = between if cluster.nodes > 1 and spans_nodes(layout, cluster) else inside
    replicas = between if cluster.nodes > 1 else inside
    return Exchange(tensor, layout.tensor, layout.data, replicas if layout.data > 1 else None, layout.decode_context)
