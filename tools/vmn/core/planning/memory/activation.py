"""What a rank needs at its peak in addition to weights and KV cache: activations, NCCL's buffers, CUDA graphs.

vLLM measures them in a run with as many tokens and requests as it will ever handle at once, so they follow from shapes,
except for what the compiler and the libraries do. The terms below are the tensors that are alive at the peak of that
run, according to vLLM's source; ``docs/planner.md`` has their errors against measured starts.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.weight_matrices import expert_share
from vmn.core.planning.model.architecture import (
    Architecture,
    Attention,
    Dense,
    Experts,
    KimiDeltaAttention,
    LatentAttention,
    LinearAttention,
    Mamba2,
)
from vmn.core.planning.vllm.model_runner import on_second_runner
from vmn.core.planning.vllm.versions import Behaviour, full_graph_sizes, graph_sizes

GIB = 2**30
SAMPLER_BYTES = 15.0
"""Bytes per request and token of the vocabulary in the first runner's sampler: logits in 16 bits, three copies in 32
bits, and sorting. Fitted to six published starts of vLLM 0.19 (Llama 8B and 70B, Qwen 72B, Qwen3 30B, DeepSeek V2 Lite,
Mixtral), with residuals within 0.04 GiB."""
LOGITS_BYTES = 2.0
"""The same in the second runner, whose profile samples greedily: only the logits."""
CONTEXT_TOKENS = 64 * 1024
"""Tokens that latent attention decompresses at once, at most (``determine_chunked_prefill_workspace_size``)."""
COMPILED_FACTOR = 1.3
"""Factor of compiled code for what passes between operators. Two published starts (Llama 8B, two and four pipeline
stages, 0.19) have 1.31 and 1.25; starts of 0.26 had from 1.0 to almost 2, depending on the compiler's cache."""
COMPILED_MOST_FACTOR = 2.0
"""The largest such factor."""
STATES = 3
"""States of all tokens in addition to what a part of a layer computes: the residual, its input, and its output."""
FOUR_NORM_STATES = 7
"""The same with norms before and after each part, which compute in 32 bits. One start (Gemma 3 27B, 0.26) took 2.79
GiB: this number predicts 2.03 and at most 3.27, STATES predicts 1.60 and 2.58."""
UNREAD_VERSION_FACTOR = 1.6
"""Factor by which versions before 0.19 may need more, as their source was not read: Kimi K2 on a version of November
2025 had 2.5 GiB less than the terms here predict."""
V0_ENGINE_LOW_FACTOR = 0.5
"""Factor for the least that versions before 0.8 need (DeepSeek R1 on 0.7.2 and 0.7.3: 0.24 and 0.37 GiB)."""
VISION_ENCODER_GIB = 1.5
"""Most GiB for the profile of an image encoder, which is not modelled."""
INDEX_LOGITS_GIB = 0.5
"""GiB of the indexer's logits (``VLLM_SPARSE_INDEXER_MAX_LOGITS_MB``)."""
SPARSE_GRAPH_MOST_GIB = 4.77 / 78 / 46
"""Most GiB of a graph and layer of sparse attention: vLLM 0.20 estimated 4.77 for the 78 layers and 35 + 11 graphs of
GLM-5.1."""
QUERY_STEP = 64
"""Multiple to which the kernels of sparse attention pad the query heads."""
LONG_PROMPT = 256 * 1024
"""Tokens from which a prompt is long for the buffers of sparse attention (``sparse_mla_prefill_workspace_factor``)."""
FP8_CACHE_GIB = 0.03
"""GiB that an FP8 cache adds to the weights without latent attention (starts of 0.26: tens of MiB)."""
SINGLE_NON_TORCH = 0.22
"""GiB outside PyTorch on one GPU (starts of 0.19 and 0.26 on H100 and H200: 0.22 to 0.25)."""
GROUP_NON_TORCH = 0.07
"""GiB with several GPUs, if NCCL's buffers are allocated before vLLM measures (0.26 on H200: 0.06 to 0.07)."""
GROUP_NON_TORCH_EARLY = 2.1
"""GiB with tensor parallelism before 0.26, which allocated them later (0.19 on H100: 2.07 to 2.21)."""


@dataclass(frozen=True)
class Band:
    """A number that is not known exactly, in GiB unless stated otherwise."""

    low: float
    expected: float
    high: float

    def __add__(self, other: Band) -> Band:
        """Return the sum, end by end."""
        return Band(self.low + other.low, self.expected + other.expected, self.high + other.high)


@dataclass(frozen=True)
class Batch:
    """How much vLLM handles at once, and whether it captures graphs.

    Attributes:
        tokens: ``--max-num-batched-tokens``.
        requests: ``--max-num-seqs``.
        length: ``--max-model-len``.
        eager: ``--enforce-eager``.
    """

    tokens: int
    requests: int
    length: int
    eager: bool = False


@dataclass(frozen=True)
class RankContext:
    """What the memory of the ranks of a stage depends on.

    Attributes:
        model: shapes of the model.
        layout: layout of the model.
        batch: how much vLLM handles at once.
        vllm: behaviour of the version.
        stage: index of the pipeline stage.
        fp8_cache: whether the KV cache has 8 bits.
        large_gpu: whether the GPU has at least 160 GiB.
    """

    model: Architecture
    layout: Layout
    batch: Batch
    vllm: Behaviour
    stage: int
    fp8_cache: bool
    large_gpu: bool

    @property
    def states_gib(self) -> float:
        """The GiB of the states of all tokens of a step."""
        return self.batch.tokens * self.model.hidden * 2 / GIB


def peak_activation(rank: RankContext) -> Band:
    """Return the peak activations of a rank in GiB."""
    received = rank.states_gib if rank.stage else 0.0
    sampler = _sampler(rank) if rank.stage == rank.layout.pipeline - 1 else 0.0
    kept = _kept(rank)

    def peak(compiled: float) -> float:
        return max(_forward(rank, 1.0 if rank.batch.eager else compiled) + received, sampler)

    high = kept.high + max(peak(COMPILED_MOST_FACTOR), 0.3) * 1.05
    low = kept.low + 0.95 * peak(1.0)
    least = V0_ENGINE_LOW_FACTOR if rank.vllm.since < (0, 8) else 1.0
    unread = UNREAD_VERSION_FACTOR if rank.vllm.since < (0, 19) else 1.0
    vision = VISION_ENCODER_GIB if rank.model.extra_weights and not rank.stage else 0.0
    return Band(low * least, kept.expected + peak(COMPILED_FACTOR), high * unread + vision)


def _sampler(rank: RankContext) -> float:
    """Return the GiB that sampling needs on the last stage, with one token of each request."""
    states = rank.states_gib
    logits = min(rank.batch.requests, rank.batch.tokens) * rank.model.vocabulary / GIB
    if rank.vllm.logits_bytes:
        return logits * rank.vllm.logits_bytes + states
    if not on_second_runner(rank.model, rank.vllm):
        return logits * SAMPLER_BYTES + states
    parts = 2 + 1 / rank.layout.tensor if rank.layout.tensor > 1 else 1  # gathered, put in order, and its own part
    return logits * LOGITS_BYTES * parts + 3 * states


def _forward(rank: RankContext, compiled: float) -> float:
    """Return the GiB alive at the peak of one layer. Only what passes between operators grows when compiled."""
    states = rank.states_gib
    count = FOUR_NORM_STATES if rank.model.has_four_norms else STATES
    attention = max(
        _attention_peak(layer.attention, rank) * compiled + _attention_buffer(layer.attention, rank)
        for layer in rank.model.kinds
    )
    return max(attention, _dense_peak(rank) * compiled) + count * states * compiled


def _attention_peak(attention: object, rank: RankContext) -> float:
    """Return the GiB of queries, keys, values, and output of a layer."""
    rows = rank.batch.tokens * 2 / rank.layout.tensor / GIB
    match attention:
        case LatentAttention() if attention.index_top and rank.vllm.sparse_absorbed:
            return rows * attention.heads * (2 * attention.kv_rank + attention.rope_size)
        case LatentAttention():
            return rows * attention.heads * (attention.nope_size + attention.rope_size + attention.value_size)
        case Attention():
            kv_heads = max(attention.kv_heads, rank.layout.tensor)
            return rows * (attention.heads + kv_heads) * (attention.key_size + attention.value_size)
        case LinearAttention():
            keys, values = attention.key_heads * attention.key_size, attention.value_heads * attention.value_size
            return rows * 4 * (keys + values)
        case KimiDeltaAttention():
            return rows * 5 * attention.heads * attention.size
        case Mamba2():
            return rows * (4 * attention.heads * attention.size + 2 * attention.groups * attention.state)
        case _:
            return 0.0


def _attention_buffer(attention: object, rank: RankContext) -> float:
    """Return the GiB that the profile allocates to decompress latent attention, and for the indexer's logits."""
    if not isinstance(attention, LatentAttention) or rank.vllm.since < (0, 8):
        return 0.0
    if attention.index_top and rank.vllm.sparse_absorbed:
        return INDEX_LOGITS_GIB
    context = min(max(8 * rank.batch.length, 4 * rank.batch.requests * 16), CONTEXT_TOKENS)
    decompressed = (
        context * attention.heads * (attention.nope_size + attention.value_size) * 2 / rank.layout.tensor / GIB
    )
    return max(decompressed, INDEX_LOGITS_GIB if attention.index_top else 0.0)


def _dense_peak(rank: RankContext) -> float:
    """Return the GiB of gate, up, and their product in the widest dense feed-forward part."""
    widths = [layer.mlp.intermediate for layer in rank.model.kinds if isinstance(layer.mlp, Dense)]
    shared = [layer.mlp.shared for layer in rank.model.kinds if isinstance(layer.mlp, Experts)]
    return rank.batch.tokens * 2 * 3 * max([*widths, *shared, 0]) / rank.layout.tensor / GIB


def _kept(rank: RankContext) -> Band:
    """Return the GiB that remain after the layers that used them: the workspace without what the weights include.

    All layers share one workspace, as large as its largest user needs (``WorkspaceManager``).
    """
    made = _sparse_workspace(rank)
    wanted = max(_expert_workspace(rank), _index_workspace(rank), made)
    kept = wanted - made
    if rank.layout.data == 1 or not rank.model.is_moe:
        return Band(kept * 0.95, kept, kept * 1.05)
    # With data parallelism the experts of each rank get the tokens of all ranks as states, and return states.
    states = rank.batch.tokens * rank.layout.data * rank.model.hidden * 2 / GIB
    return Band(kept * 0.7, kept + 2 * states, kept * 1.2 + 3 * states)


def _expert_workspace(rank: RankContext) -> float:
    """Return the GiB of the two buffers of fused experts (``TritonExperts.workspace_shapes``)."""
    if rank.model.experts is None or _has_packed_experts(rank.model, rank.vllm):
        return 0.0
    _, width = expert_share(rank.model.experts, rank.layout)
    hidden, ups = rank.model.experts.latent or rank.model.hidden, rank.model.experts.ups
    tokens = rank.batch.tokens * rank.layout.data
    rows = min(tokens, rank.vllm.expert_chunk or tokens) * rank.model.experts.active
    if rank.vllm.since < (0, 19):  # the first and last result share a buffer (fused_experts_impl)
        return rows * 2 * (max(ups * width, hidden) + width) / GIB
    return rows * 2 * (max(width, hidden) + max(ups * width, hidden)) / GIB


def _has_packed_experts(model: Architecture, vllm: Behaviour) -> bool:
    """Return whether experts run on kernels for MXFP4 that keep no workspace (HUMMING, one start of 0.33)."""
    return vllm.since >= (0, 33) and model.quantization is not None and model.quantization.method == "mxfp4"


def _indexer(model: Architecture) -> LatentAttention | None:
    found = (layer.attention for layer in model.kinds)
    return next((part for part in found if isinstance(part, LatentAttention) and part.index_heads), None)


def _prompt_rows(rank: RankContext) -> int:
    """Return the number of prompt tokens for which sparse attention reserves room."""
    return rank.batch.length * (rank.vllm.sparse_factor if rank.batch.length > LONG_PROMPT else 5)


def _index_workspace(rank: RankContext) -> float:
    """Return the GiB for the indexer's keys of prompts (``get_max_prefill_buffer_size``)."""
    part = _indexer(rank.model)
    if part is None:
        return 0.0
    token = part.index_size + 4
    rows = _prompt_rows(rank) * ((part.kv_rank + part.rope_size) * 2 // token)
    return rows * token / GIB


def _sparse_workspace(rank: RankContext) -> float:
    """Return the GiB that sparse attention with an FP8 cache reserves when it is created (``FlashMLASparseImpl``)."""
    part = _indexer(rank.model)
    if part is None or not rank.fp8_cache:
        return 0.0
    size = part.kv_rank + part.rope_size
    heads = part.heads // rank.layout.tensor
    rows = _prompt_rows(rank) * size + rank.batch.tokens * heads * size
    if rank.vllm.sparse_outputs:
        padded = -(-heads // QUERY_STEP) * QUERY_STEP
        rows += rank.batch.tokens * (padded * (size + part.kv_rank) + heads * part.kv_rank)
    return rows * 2 / GIB


def fixed_buffers(rank: RankContext) -> float:
    """Return the GiB of buffers that are allocated with the weights, and that vLLM counts as weights."""
    part = _indexer(rank.model)
    picked = rank.batch.tokens * part.index_top * 4 / GIB if part else 0.0
    own = FP8_CACHE_GIB if rank.fp8_cache and not rank.model.is_latent else 0.0
    return picked + own + _sparse_workspace(rank)


def non_torch(rank: RankContext) -> Band:
    """Return the GiB that NCCL and the CUDA libraries take after vLLM first measures the free memory."""
    grouped = rank.layout.tensor > 1 or rank.layout.data > 1
    if rank.vllm.since < (0, 8):  # 0.16 to 0.39 on one GPU, 0.24 to 2.53 on several, in logs of 0.6.6 to 0.7.3
        return Band(0.15, 1.3, 2.7) if grouped else Band(0.05, 0.2, 0.5)
    if rank.layout.gpus == 1 and rank.vllm.single_non_torch:
        return Band(rank.vllm.single_non_torch * 0.9, rank.vllm.single_non_torch, rank.vllm.single_non_torch + 0.75)
    if rank.layout.gpus == 1:
        return Band(0.2, SINGLE_NON_TORCH, 0.3)
    if not grouped:
        return Band(0.05, rank.vllm.single_non_torch or GROUP_NON_TORCH, (rank.vllm.single_non_torch or 0.0) + 0.5)
    if rank.vllm.group_non_torch:
        return Band(0.6, rank.vllm.group_non_torch, 1.8 if rank.layout.data == 1 else 2.6)
    if rank.vllm.since < (0, 20):
        return Band(2.0, GROUP_NON_TORCH_EARLY, 2.6)
    if rank.vllm.since < (0, 26):  # one of the two
        return Band(0.05, GROUP_NON_TORCH_EARLY, 2.6)
    return Band(0.05, GROUP_NON_TORCH, 0.5 if rank.layout.data == 1 else 1.5)


def graphs(rank: RankContext) -> Band:
    """Return the GiB that the estimate of CUDA graphs takes from the KV cache, zero if it is not subtracted.

    A graph keeps some MiB for each layer of the rank. Published estimates for 51 sizes are 0.8 to 2.5 GiB. vLLM has
    also estimated ten times of what the graphs then took, which no band here covers.
    """
    if (
        rank.batch.eager
        or not rank.vllm.graphs_charged
        or (rank.vllm.since < (0, 32) and on_second_runner(rank.model, rank.vllm))
    ):
        return Band(0.0, 0.0, 0.0)
    sizes = graph_sizes(rank.batch.requests, rank.large_gpu)
    layers = len(rank.model.layers) / rank.layout.pipeline
    expected = sizes * layers * rank.vllm.graph_mib / 1024
    high = expected * 2.5
    if rank.model.is_sparse:
        most = sizes + full_graph_sizes(rank.batch.requests, rank.large_gpu)
        high = max(high, most * layers * SPARSE_GRAPH_MOST_GIB)
    return Band(expected * 0.4, expected, high)
