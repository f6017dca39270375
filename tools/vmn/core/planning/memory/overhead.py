"""What a rank keeps next to the model: memory of NCCL and CUDA's libraries, the runner's buffers, and CUDA graphs."""

from __future__ import annotations

from vmn.core.planning.gpus import HOPPER
from vmn.core.planning.memory.activation import GIB, Band, RankContext
from vmn.core.planning.vllm.model_runner import on_second_runner
from vmn.core.planning.vllm.versions import full_graph_sizes, graph_sizes

SPARSE_GRAPHS = 46
SPARSE_GRAPH_MOST_GIB = 4.77 / 78 / SPARSE_GRAPHS
"""Most GiB of a graph and layer of sparse attention: vLLM 0.20 estimated 4.77 for the 78 layers and 35 + 11 graphs of
GLM-5.1."""
TRITON_FP8_GRAPHS_GIB = 12.5
"""Most GiB of the estimate where Triton's kernels run experts in block-wise FP8. vLLM captures the two largest graphs
of decoding, and counts what the second one took for each of the others (``_extrapolate_full_graph_memory``), even
memory that is taken once. The only such start of 0.33, DeepSeek-R1 cut to 8 layers in two stages on H200, was estimated
at 12.39, and then took 4.39."""
TENSOR_GRAPHS_MOST = 1.6
"""Factor of the most that graphs take with tensor parallelism, of what is expected without it: 1.50 GiB between nodes,
where that is 0.95."""
SINGLE_NON_TORCH = 0.22
"""GiB outside PyTorch on one GPU (starts of 0.19 and 0.26 on H100 and H200: 0.22 to 0.25)."""
GROUP_NON_TORCH = 0.07
"""GiB with several GPUs, if NCCL's buffers are allocated before vLLM measures (0.26 on H200: 0.06 to 0.07)."""
GROUP_NON_TORCH_EARLY = 2.1
"""GiB with tensor parallelism before 0.26, which allocated them later (0.19 on H100: 2.07 to 2.21)."""


COUNT_BYTES = 4.0
"""Bytes per request and token of the vocabulary of how often a request has used the token (``PenaltiesState``)."""
MASK_BYTES = 1 / 8
"""The same of a mask of tokens: those of the prompt (``PenaltiesState``), and for each token of a step those that
structured outputs allow (``StructuredOutputsWorker``)."""
STAGE_STATES = 2
"""States of all tokens that a later stage keeps for what it receives (``make_empty_intermediate_tensors``)."""


def non_torch(rank: RankContext) -> Band:
    """Return the GiB that stay allocated next to the model.

    NCCL and the CUDA libraries take memory after vLLM first measures the free memory. Since 0.32, what the model runner
    keeps is counted with it.
    """
    kept = _kept(rank)
    return _libraries(rank) + Band(kept, kept, kept)


def _kept(rank: RankContext) -> float:
    """Return the GiB of the buffers of the second model runner: those of the sampler, and states that stages pass on.

    Drafts keep the states that they start from, in some models of all streams (``TargetDependentARSpeculator``).
    """
    if not rank.vllm.counts_kept:
        return 0.0
    found = STAGE_STATES * rank.states_gib if rank.stage else 0.0
    if rank.stage == rank.layout.pipeline - 1:
        batch, mtp = rank.batch, rank.model.mtp
        each = COUNT_BYTES + MASK_BYTES * (2 + batch.drafted)
        found += batch.requests * rank.model.vocabulary * each / GIB
        if batch.drafted and mtp:
            found += rank.states_gib * (rank.model.streams if mtp.fed_streams else 1)
    return found


def _libraries(rank: RankContext) -> Band:
    grouped = rank.layout.tensor > 1 or rank.layout.data > 1
    if rank.vllm.since < (0, 8):  # 0.16 to 0.39 on one GPU, 0.24 to 2.53 on several, in logs of 0.6.6 to 0.7.3
        return Band(0.15, 1.3, 2.7) if grouped else Band(0.05, 0.2, 0.5)
    if rank.vllm.single_non_torch is not None and rank.vllm.group_non_torch is not None:
        return _non_torch_of_today(rank, rank.vllm.single_non_torch, rank.vllm.group_non_torch)
    if rank.layout.gpus == 1:
        return Band(0.2, SINGLE_NON_TORCH, 0.3)
    if not grouped:
        return Band(0.05, GROUP_NON_TORCH, 0.5)
    if rank.vllm.since < (0, 20):
        return Band(2.0, GROUP_NON_TORCH_EARLY, 2.6)
    if rank.vllm.since < (0, 26):  # one of the two
        return Band(0.05, GROUP_NON_TORCH_EARLY, 2.6)
    return Band(0.05, GROUP_NON_TORCH, 0.5 if rank.layout.data == 1 else 1.5)


def _non_torch_of_today(rank: RankContext, single: float, group: float) -> Band:
    """Return the GiB since 0.33: CUDA's libraries, or a workspace of tensor parallelism.

    Between nodes, or with data parallelism, there may be less or more.
    """
    below, above = rank.vllm.spread.non_torch
    if rank.layout.gpus == 1:
        expected = single
    elif rank.layout.tensor > 1 or rank.layout.data > 1:
        expected = group
        below, above = 0.5, above + (0.25 if rank.layout.data == 1 else 1.0)
    else:
        expected = rank.vllm.stage_non_torch if rank.stage == rank.layout.pipeline - 1 else 0.0
    return Band(max(0.0, expected - below), expected, expected + above)


def graphs(rank: RankContext) -> Band:
    """Return the GiB that the estimate of CUDA graphs takes from the KV cache, zero if it is not subtracted.

    A graph keeps some MiB, and some for each layer of the rank. Published estimates for 51 sizes are 0.8 to 2.5 GiB.
    vLLM has also estimated ten times of what the graphs then took, which only the band of block-wise FP8 covers.
    """
    if (
        rank.batch.eager
        or not rank.vllm.graphs_charged
        or (rank.vllm.since < (0, 32) and on_second_runner(rank.model, rank.vllm))
    ):
        return Band(0.0, 0.0, 0.0)
    sizes = graph_sizes(rank.batch.requests, rank.large_gpu)
    layers = len(rank.model.layers) / rank.layout.pipeline
    whole = sizes * (layers * rank.vllm.graph_mib + rank.vllm.graph_base_mib) / 1024
    share = rank.vllm.graph_share if rank.layout.tensor > 1 else 1.0
    expected = whole * share
    least, most_factor = rank.vllm.spread.graphs
    high = expected * most_factor if share == 1 else whole * TENSOR_GRAPHS_MOST
    if rank.model.is_sparse:
        most = sizes + full_graph_sizes(rank.batch.requests, rank.large_gpu)
        if rank.vllm.since >= (0, 33):  # attention is not part of a graph (VLLM_USE_BREAKABLE_CUDAGRAPH)
            most = SPARSE_GRAPHS
        high = max(high, most * layers * SPARSE_GRAPH_MOST_GIB)
    if _has_triton_fp8_experts(rank):
        high = max(high, TRITON_FP8_GRAPHS_GIB)
    return Band(expected * least, expected, high)


def _has_triton_fp8_experts(rank: RankContext) -> bool:
    """Return whether Triton's kernels run experts in block-wise FP8.

    They do on Hopper without expert parallelism (0.33, ``fused_moe/oracle/fp8.py``).
    """
    is_hopper = rank.capability == HOPPER
    return rank.vllm.since >= (0, 33) and is_hopper and rank.model.has_block_fp8_experts and not rank.layout.expert
