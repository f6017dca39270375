"""What happens when vLLM starts a model in a layout: memory per rank, KV cache, context, and concurrency."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vmn.core.planning.correction import Correction
from vmn.core.planning.gpus import BLACKWELL, Gpu
from vmn.core.planning.layout.constraints import Cluster, Refusal, layouts, refusal, spans_nodes
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import (
    GIB,
    Band,
    Batch,
    RankContext,
    fixed_buffers,
    peak_activation,
    staying_activation,
)
from vmn.core.planning.memory.allocator import MxForm, Storage
from vmn.core.planning.memory.kv_cache import KVCache, cache_is_fp8, kv_cache
from vmn.core.planning.memory.offloading import offloaded_tokens, offloading_refusal
from vmn.core.planning.memory.overhead import graphs, non_torch
from vmn.core.planning.memory.weights import stage_weights
from vmn.core.planning.model.architecture import Architecture, counted_blocks
from vmn.core.planning.vllm.versions import LARGE_GPU_GIB, LATEST, Behaviour, batch_defaults, behaviour, release


@dataclass(frozen=True)
class VllmOptions:
    """vLLM's flags that affect memory; None is vLLM's default.

    Attributes:
        max_model_len: tokens of a request, by default the model's own limit.
        utilization: share of a GPU that vLLM may use.
        batched_tokens: ``--max-num-batched-tokens``.
        requests: ``--max-num-seqs``.
        kv_dtype: ``--kv-cache-dtype``.
        eager: ``--enforce-eager``.
        version: version of vLLM.
        prefix_caching: ``--enable-prefix-caching``, which only affects the memory of models with states.
        drafted: ``num_speculative_tokens`` of multi-token prediction, 0 without it.
        offloaded: GiB of host memory per GPU to which the KV cache is offloaded.
        flashinfer: whether FlashInfer samples (``VLLM_USE_FLASHINFER_SAMPLER``), None when it is not known.
        graphs_charged: whether the estimate of CUDA graphs is subtracted from the KV cache
            (``VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS``).
        index_logits: bytes of the logits of sparse attention's indexer (``VLLM_SPARSE_INDEXER_MAX_LOGITS_MB``).
        partition: layers of each stage (``VLLM_PP_LAYER_PARTITION``).
        beyond_limit: whether requests may be longer than the model's own limit (``VLLM_ALLOW_LONG_MAX_MODEL_LEN``).
    """

    max_model_len: int | None = None
    utilization: float | None = None
    batched_tokens: int | None = None
    requests: int | None = None
    kv_dtype: str = "auto"
    eager: bool = False
    version: str = LATEST
    prefix_caching: bool | None = None
    drafted: int = 0
    offloaded: float = 0.0
    flashinfer: bool | None = None
    graphs_charged: bool | None = None
    index_logits: int | None = None
    partition: tuple[int, ...] | None = None
    beyond_limit: bool = False


@dataclass(frozen=True)
class Rank:
    """Memory of the ranks of one pipeline stage, in GiB.

    Attributes:
        stage: index of the stage.
        layers: number of decoder layers.
        weights: weights by purpose.
        activation: peak activations.
        non_torch: memory of NCCL and CUDA, and buffers of the model runner.
        graphs: memory reserved for CUDA graphs.
        available: memory for the KV cache.
        blocks: number of blocks of the KV cache.
        block_bytes: bytes of a block of all layers of the stage.
        longest: tokens of the longest request that fits into the expected blocks, up to the model's or user's limit.
        staying: GiB of the activations that stay allocated; logs since 0.32 count them with the weights.
    """

    stage: int
    layers: int
    weights: dict[str, float]
    activation: Band
    non_torch: Band
    graphs: Band
    available: Band
    blocks: Band
    block_bytes: int = 0
    longest: int = 0
    staying: float = 0.0

    @property
    def weights_gib(self) -> float:
        """The sum of all weights."""
        return sum(self.weights.values())


@dataclass(frozen=True)
class Prediction:
    """The prediction for one layout.

    Attributes:
        layout: the layout.
        rejected: why vLLM or the chart refuses it, None when they do not.
        traffic: what crosses the network between nodes.
        ranks: memory of the ranks of each stage.
        tokens: tokens of the KV cache of the whole engine.
        length: tokens of a request, as requested.
        longest: tokens of the longest request, at most the model's own limit.
        concurrency: number of requests of ``length`` at once.
        budget: GiB that vLLM may use on each GPU.
        needed_gib: GiB of KV cache that a request of ``length`` takes on the fullest rank.
        refusal_line: what vLLM logs when it refuses the layout; empty where it has no message.
        cache: the form of the KV cache, None for a refused layout.
        request_blocks: blocks of the KV cache that a request of ``length`` takes.
        requests: requests of a step (``--max-num-seqs``).
        most_requests: requests of a step for which there are blocks of states, None if nothing limits them.
        host_tokens: tokens that the host memory for the offloaded KV cache holds.
        drafted: tokens that multi-token prediction drafts in a step, up to which vLLM reserves slots past a request's
            length (``num_lookahead_tokens``), but not past the longest request.
    """

    layout: Layout
    rejected: str | None
    traffic: str
    length: int
    budget: float
    ranks: Sequence[Rank] = field(default=())
    tokens: Band = field(default=Band(0, 0, 0))
    longest: Band = field(default=Band(0, 0, 0))
    concurrency: Band = field(default=Band(0, 0, 0))
    needed_gib: float = 0.0
    refusal_line: str = ""
    cache: KVCache | None = None
    request_blocks: int = 0
    requests: int = 0
    most_requests: Band | None = None
    host_tokens: int = 0
    drafted: int = 0

    def requests_of(self, length: int) -> Band:
        """Return how many requests of some length fit at once, each with slots for the tokens that it drafts."""
        if self.cache is None:
            return Band(0, 0, 0)
        needed = self.cache.request_blocks(min(length + self.drafted, max(length, self.length)))
        ends = ("low", "expected", "high")
        blocks = (min(getattr(rank.blocks, end) for rank in self.ranks) for end in ends)
        return Band(*(_concurrency(max(0, int(count)), needed) * self.layout.data for count in blocks))

    @property
    def fits(self) -> bool:
        """Whether vLLM is expected to start."""
        return self.rejected is None and self.concurrency.expected >= 1 and not self.has_too_many_requests

    @property
    def has_too_many_requests(self) -> bool:
        """Whether there are fewer blocks of states than requests of a step, so that vLLM refuses to capture graphs."""
        return self.most_requests is not None and self.requests > self.most_requests.expected

    @property
    def is_sure(self) -> bool:
        """Whether vLLM starts even if everything takes the most memory that it can."""
        enough = self.most_requests is None or self.requests <= self.most_requests.low
        return self.rejected is None and self.concurrency.low >= 1 and enough


@dataclass(frozen=True)
class PlanContext:
    """What all layouts of a plan share, with vLLM's defaults filled in.

    Attributes:
        model: shapes of the model.
        gpu: GPU of each rank.
        cluster: nodes and network.
        batch: how much vLLM handles at once.
        vllm: behaviour of the version.
        version: version of vLLM.
        kv_dtype: ``--kv-cache-dtype``.
        budget: GiB that vLLM may use on each GPU.
        correction: corrections from the log of a start (``startup_log.compare.calibrate``), None without a log.
        offloaded: GiB of host memory per GPU to which the KV cache is offloaded.
    """

    model: Architecture
    gpu: Gpu
    cluster: Cluster
    batch: Batch
    vllm: Behaviour
    version: str
    kv_dtype: str
    budget: float
    correction: Correction | None = None
    offloaded: float = 0.0


def plan_context(model: Architecture, gpu: Gpu, cluster: Cluster, options: VllmOptions) -> PlanContext:
    """Return the context of a plan, with vLLM's defaults filled in.

    Raises:
        UnknownVersion: the version of vLLM is not known.
    """
    vllm = _asked_behaviour(options)
    tokens, requests = batch_defaults(gpu.gib, gpu.name, release(options.version))
    length = options.max_model_len or model.max_length
    batch = Batch(
        options.batched_tokens or tokens,
        options.requests or requests,
        length,
        options.eager,
        options.drafted,
        options.flashinfer,
    )
    model = model.with_drafts(release(options.version)) if options.drafted else model
    model = dataclasses.replace(model, partition=options.partition) if options.partition else model
    utilization = options.utilization or vllm.utilization
    budget = math.ceil(gpu.gib * GIB * utilization) / GIB
    return PlanContext(
        model, gpu, cluster, batch, vllm, options.version, options.kv_dtype, budget, offloaded=options.offloaded
    )


def _asked_behaviour(options: VllmOptions) -> Behaviour:
    """Return the behaviour of a version with what flags and variables change of it."""
    vllm = behaviour(options.version)
    if options.prefix_caching is not None:
        vllm = dataclasses.replace(vllm, state_blocks=max(2, vllm.state_blocks) if options.prefix_caching else 1)
    if options.prefix_caching is False:
        vllm = dataclasses.replace(vllm, checkpoint_grid=None)
    if options.graphs_charged is False:
        vllm = dataclasses.replace(vllm, graphs_charged=False)
    return dataclasses.replace(vllm, index_logits=options.index_logits or vllm.index_logits)


def predict_all(context: PlanContext) -> list[Prediction]:
    """Return a prediction for each layout, the best first."""
    found = (predict(context, layout) for layout in layouts(context.model, context.cluster))
    return sorted(found, key=lambda prediction: rank_of(prediction, context.cluster.nodes))


def rank_of(prediction: Prediction, nodes: int) -> tuple[object, ...]:
    """Return the key that sorts layouts, the best first.

    Layouts that surely start come first; then those with little traffic between nodes; then simple ones: no more stages
    than nodes, because each stage costs latency, one copy of attention, a KV cache that is not shared by tokens; then
    those with the most room.
    """
    layout = prediction.layout
    return (
        prediction.rejected is not None,
        not prediction.is_sure,
        not prediction.fits,
        TRAFFIC.index(prediction.traffic),
        max(nodes, layout.pipeline),
        layout.decode_context > 1,
        layout.data > 1,
        layout.expert,
        -int(prediction.tokens.low),
        layout,
    )


TRAFFIC = ("none", "stages", "data", "tensor")
"""What may cross the network between nodes, the least first."""


def predict(context: PlanContext, layout: Layout) -> Prediction:
    """Return the prediction for one layout."""
    if refused := _refused(context, layout):
        return _rejected(context, layout, refused)
    capability = context.gpu.capability
    cache = kv_cache(
        context.model, layout, context.kv_dtype, context.batch.tokens, context.vllm, capability, context.batch.drafted
    )
    stages = context.model.stages(layout.pipeline)
    if refused := _without_cache(cache, stages):
        return _rejected(context, layout, refused)
    ranks = [_rank(context, layout, cache, stage, bounds) for stage, bounds in enumerate(stages)]
    blocks = Band(*(min(getattr(rank.blocks, end) for rank in ranks) for end in ("low", "expected", "high")))
    needed = cache.request_blocks(context.batch.length)
    most = context.model.max_length
    largest = max(cache.block_bytes(*bounds) for bounds in stages)

    def each(function: Callable[[int], float]) -> Band:
        return Band(*(function(max(0, int(count))) for count in (blocks.low, blocks.expected, blocks.high)))

    return Prediction(
        layout,
        None,
        _traffic(layout, context.cluster),
        context.batch.length,
        context.budget,
        ranks,
        tokens=each(lambda count: int(count / needed * context.batch.length) * layout.data),
        longest=each(lambda count: cache.longest_request(max(0, count - 1), most)),
        concurrency=each(lambda count: _concurrency(count, needed) * layout.data),
        needed_gib=needed * largest / GIB,
        cache=cache,
        request_blocks=needed,
        requests=context.batch.requests,
        most_requests=blocks if _needs_state_blocks(context) else None,
        host_tokens=offloaded_tokens(context.offloaded, layout, cache, largest, context.batch.length),
        drafted=context.batch.drafted,
    )


def _rejected(context: PlanContext, layout: Layout, refused: Refusal) -> Prediction:
    """Return the prediction for a layout that is refused."""
    traffic = _traffic(layout, context.cluster)
    return Prediction(layout, refused.text, traffic, context.batch.length, context.budget, refusal_line=refused.vllm)


def _refused(context: PlanContext, layout: Layout) -> Refusal | None:
    """Return why vLLM or the chart refuses a layout, None when they do not."""
    found = refusal(context.model, layout, context.cluster, context.gpu, context.kv_dtype)
    reason = offloading_refusal(layout, context.cluster) if context.offloaded else None
    return found or (Refusal("offloading", reason) if reason else None)


def _without_cache(cache: KVCache, stages: Sequence[tuple[int, int]]) -> Refusal | None:
    """Return why vLLM refuses layouts in which a stage has no cache, None if each stage has one.

    It divides the memory of each rank by the bytes of a block (0.33, ``get_kv_cache_config_from_groups``).
    """
    for stage, bounds in enumerate(stages):
        if not cache.block_bytes(*bounds):
            return Refusal("pipeline", f"stage {stage} of {len(stages)} has no layer with a KV cache: use fewer stages")
    return None


def _needs_state_blocks(context: PlanContext) -> bool:
    """Return whether vLLM refuses more requests of a step than blocks, one for the state of each request.

    It does where it captures full graphs of decoding (vllm-project/vllm#38270, ``config/compilation.py``).
    """
    return context.model.is_hybrid and not context.batch.eager and context.vllm.since >= (0, 20)


def _concurrency(blocks: int, needed: int) -> float:
    """Return the number of requests at once; 0 if the null block, which vLLM keeps, leaves too little for one."""
    return blocks / needed if blocks - 1 >= needed else 0.0


def _traffic(layout: Layout, cluster: Cluster) -> str:
    if cluster.nodes == 1:
        return "none"
    if spans_nodes(layout, cluster):
        return "tensor"
    return "stages" if layout.data == 1 and not layout.expert else "data"


def _rank(context: PlanContext, layout: Layout, cache: KVCache, stage: int, bounds: tuple[int, int]) -> Rank:
    rank = _rank_context(context, layout, stage)
    weights = _weights(context, rank)
    activation, other, captured = _soft_terms(context, rank)
    used = activation + other + captured
    left = context.budget - sum(weights.values())
    available = Band(left - used.high, left - used.expected, left - used.low)
    size = cache.block_bytes(*bounds)
    blocks = Band(
        *(float(max(0, int(gib * GIB)) // size) for gib in (available.low, available.expected, available.high))
    )
    most = max(context.model.max_length, context.batch.length)
    longest = cache.longest_request(max(0, int(blocks.expected) - 1), most)
    staying = staying_activation(rank)
    return Rank(
        stage, bounds[1] - bounds[0], weights, activation, other, captured, available, blocks, size, longest, staying
    )


def _weights(context: PlanContext, rank: RankContext) -> dict[str, float]:
    """Return the GiB of weights by purpose, with buffers that are allocated together with them."""
    model, layout, stage = rank.model, rank.layout, rank.stage
    sizes = stage_weights(model, layout, stage, storage=_storage(context))
    weights = {name: size / GIB for name, size in sizes.items() if size}
    weights["positions"] = _position_bytes(model, layout, stage) / GIB
    buffers = fixed_buffers(rank)
    if buffers:
        weights["buffers"] = buffers
    factor = context.correction.weight_factor(layout, stage) if context.correction else 1.0
    return {name: size * factor for name, size in weights.items()}


def _position_bytes(model: Architecture, layout: Layout, stage: int) -> int:
    """Return the bytes of the tables of rotary positions: the model's, and those that only some layers have."""
    own = {block.positions for block in counted_blocks(model, *model.stages(layout.pipeline)[stage])}
    return model.position_bytes + sum(table[1] for table in own if table) * model.max_length


def _storage(context: PlanContext) -> Storage:
    vllm = context.vllm
    hopper: MxForm = "inner" if vllm.padded_mxfp4 else "scales"
    return Storage(
        rounded=True,
        whole_blocks=vllm.whole_blocks,
        mxfp4=hopper if context.gpu.hopper else "both",
        views_plain=vllm.views_plain,
        widens_mxfp8=context.gpu.capability != BLACKWELL,
    )


def _rank_context(context: PlanContext, layout: Layout, stage: int) -> RankContext:
    gpu = context.gpu
    fp8_cache = cache_is_fp8(context.model, context.kv_dtype, gpu.capability)
    large_gpu = gpu.gib >= LARGE_GPU_GIB
    return RankContext(context.model, layout, context.batch, context.vllm, stage, fp8_cache, large_gpu, gpu.capability)


def _soft_terms(context: PlanContext, rank: RankContext) -> tuple[Band, Band, Band]:
    """Return activations, memory outside PyTorch, and CUDA graphs."""
    batch, correction, layout, stage = rank.batch, context.correction, rank.layout, rank.stage
    activation, other, captured = peak_activation(rank), non_torch(rank), graphs(rank)
    if correction is None:
        return activation, other, captured
    return (
        correction.correct_activation(layout, batch, stage, activation),
        correction.correct_non_torch(layout, batch, stage, other),
        correction.correct_graphs(layout, batch, stage, captured),
    )
