"""How versions of vLLM differ, as data. Each number has its source."""

from __future__ import annotations

from dataclasses import dataclass

LATEST = "0.33.0"
LARGE_GPU_GIB = 160
"""GiB from which vLLM takes larger batches and captures more CUDA graphs."""


@dataclass(frozen=True)
class Spread:
    """How far numbers may be from the expected ones; docs/planner.md shows how often starts are inside.

    Attributes:
        eager: factors of the least and the most that activations take without compiled code.
        compiled: factors of what passes between operators in compiled code: least, expected, and most.
        graphs: factors of the least and the most that the estimate of CUDA graphs takes.
        slack: GiB by which activations may be off in addition.
        non_torch: GiB by which memory outside PyTorch may be below and above the expected value.
    """

    eager: tuple[float, float] = (0.95, 1.05)
    compiled: tuple[float, float, float] = (1.0, 1.3, 2.0)
    graphs: tuple[float, float] = (0.4, 2.5)
    slack: float = 0.0
    non_torch: tuple[float, float] = (0.07, 0.75)


@dataclass(frozen=True)
class Behaviour:
    """Defaults and behaviour of vLLM from a version on.

    Attributes:
        since: the first version.
        utilization: default of ``--gpu-memory-utilization``.
        graphs_charged: whether the estimate of CUDA graphs is subtracted from the KV cache by default.
        runner_v2: which models run on the second model runner: ``none``, ``few``, ``dense``, or ``all``.
        overlap: whether scheduling is asynchronous, so that one more batch is in flight.
        state_blocks: blocks of a request's state of linear attention; two with prefix caching.
        state_checkpoint: whether prefix caching also takes one for a checkpoint of the prompt.
        expert_chunk: tokens that pass through fused experts at once, None for all.
        sparse_outputs: whether sparse attention with an FP8 cache also reserves its outputs.
        whole_blocks: whether PyTorch's allocator keeps blocks of 20 MiB and more whole while a model loads.
        views_plain: whether latent attention reads a 16-bit ``kv_b_proj`` in another order without a copy.
        padded_mxfp4: whether Hopper's MXFP4 kernels pad the inner side of a matrix, and not only the scales.
        sparse_factor: number of long prompts of full length for which sparse attention reserves room.
        checkpoint_grid: tokens between two states that kernels of gated delta nets export, None if they export none.
        counts_kept: whether what the model runner keeps for requests and stages is subtracted from the KV cache.
        single_non_torch: GiB outside PyTorch on one GPU, None for the value that other versions share.
        group_non_torch: the same with several GPUs in a stage, on one node.
        stage_non_torch: the same on the last of several stages.
        graph_mib: MiB of a CUDA graph for each layer and size of a batch that vLLM estimates.
        graph_base_mib: MiB for each size, whatever the number of layers.
        graph_share: share of both with tensor parallelism.
        logits_bytes: bytes per request and token of the vocabulary of its sampler, None for those of its runner.
        flashinfer_bytes: the same with FlashInfer's sampler, None where it makes no difference.
        top_rows: rows of 32 bits and the width of the vocabulary that the sampler keeps for the most likely tokens.
        sparse_absorbed: whether sparse attention does not decompress keys and values of prompts.
        index_logits: bytes of the logits of sparse attention's indexer (``VLLM_SPARSE_INDEXER_MAX_LOGITS_MB``).
        index_groups: whether sparse latent attention keeps where the picked tokens are in the cache.
        spread: how far numbers may be from the expected ones.
    """

    since: tuple[int, int]
    utilization: float
    graphs_charged: bool = False
    runner_v2: str = "none"
    overlap: bool = False
    state_blocks: int = 1
    state_checkpoint: bool = False
    expert_chunk: int | None = None
    sparse_outputs: bool = False
    whole_blocks: bool = False
    views_plain: bool = False
    padded_mxfp4: bool = True
    sparse_factor: int = 5
    checkpoint_grid: int | None = None
    counts_kept: bool = False
    single_non_torch: float | None = None
    group_non_torch: float | None = None
    stage_non_torch: float = 0.0
    graph_mib: float = 0.4
    graph_base_mib: float = 0.0
    graph_share: float = 1.0
    logits_bytes: float | None = None
    flashinfer_bytes: float | None = None
    top_rows: int = 0
    sparse_absorbed: bool = False
    index_logits: int = 2**29
    index_groups: bool = False
    spread: Spread = Spread()


BEHAVIOURS = (
    # utilization: 0.90 up to 0.19, 0.92 by 0.22 (config/cache.py).
    # graphs_charged: since 0.21 (envs.py, VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS).
    # runner_v2: published notes on 0.23's source (three kinds, not quantized), logs and notes of 0.26 and 0.27 (dense
    # models, and a few kinds), the source of 0.32 (config/vllm.py, use_v2_model_runner: all).
    # overlap: logs of 0.26; it began earlier, and the careful choice for what lies between is that it costs.
    # state_blocks: prefix caching of hybrid models is off in 0.26 and on in 0.32 (is_prefix_caching_supported).
    # expert_chunk: start-up of 0.10.1 with data parallelism (vllm-project/recipes, pull request 12); gone in 0.32.
    # whole_blocks, padded_mxfp4: own start-ups and the source of 0.26 (gpu_worker.py, triton_kernels' hopper_value.py);
    # both began after 0.20.
    # sparse_*: GLM-5.3 on 0.28 (recipes, pull request 893); the source of 0.32 (flashmla_sparse.py).
    # counts_kept: since the source of 0.32 (utils/mem_utils.py: ``total_consumed`` is the difference of free memory).
    # 0.33: own start-ups on H200 (``tests/unit/planning_data/points-0.33.json``). Blocks of 576 tokens for a state of
    # 536, and one more block of each group of states with prefix caching, for a checkpoint of the prompt; outside
    # PyTorch 0.10 to 0.11 GiB on one GPU, 0.00 and 0.02 on the first and the last of two stages, 0.50 with tensor
    # parallelism on one node, whose all-reduce has a workspace, and 0.02 between nodes (what logs call consumed,
    # without weights, workspaces, and what the runner keeps); graphs of 16, 24, 32, 48, and 64 layers: 0.81, 0.66,
    # 0.92, 1.23, and 2.20 GiB, and of 32 layers on two ranks 0.63 on one node and 1.50 between nodes; logits in 16 and
    # 32 bits (the profile's second pass), and a row for each of 132 multiprocessors
    # (v1/sample/ops/topk_topp_triton.py); sparse attention on compressed keys and values, also for prompts;
    # index_groups: v1/attention/backends/mla/index_group.py; views_plain: MLAAttention.process_weights_after_loading
    # (0.19 copied: DeepSeek V2 Lite took 29.43 GiB).
    # flashinfer_bytes: top_k_top_p_sampling_from_logits of FlashInfer 0.7.2 makes two more copies of the logits in 32
    # bits, the masked ones and their softmax, and needs no rows; a start of Llama 3.1 8B has them to the last block.
    # spread: compiled code kept 1.31 and 1.25 times as much in 0.19, up to 2 times in 0.26 (the compiler's cache warm
    # or cold), and 1.0 to 1.28 times in 0.33.
    Behaviour((0, 6), 0.90, expert_chunk=32768),  # the first engine
    Behaviour((0, 8), 0.90, expert_chunk=32768),
    Behaviour((0, 19), 0.90),
    Behaviour((0, 20), 0.92, overlap=True),
    Behaviour((0, 21), 0.92, graphs_charged=True, overlap=True),
    Behaviour((0, 23), 0.92, graphs_charged=True, runner_v2="few", overlap=True),
    Behaviour(
        (0, 26),
        0.92,
        graphs_charged=True,
        runner_v2="dense",
        overlap=True,
        whole_blocks=True,
        padded_mxfp4=False,
    ),
    Behaviour(
        (0, 32),
        0.92,
        graphs_charged=True,
        runner_v2="all",
        overlap=True,
        state_blocks=2,
        whole_blocks=True,
        padded_mxfp4=False,
        sparse_outputs=True,
        sparse_factor=2,
        counts_kept=True,
    ),
    Behaviour(
        (0, 33),
        0.92,
        graphs_charged=True,
        runner_v2="all",
        overlap=True,
        state_blocks=2,
        state_checkpoint=True,
        whole_blocks=True,
        padded_mxfp4=False,
        sparse_outputs=True,
        sparse_factor=2,
        checkpoint_grid=64,
        views_plain=True,
        counts_kept=True,
        single_non_torch=0.1,
        group_non_torch=0.5,
        stage_non_torch=0.02,
        graph_mib=0.3,
        graph_base_mib=9.0,
        graph_share=0.65,
        logits_bytes=6.0,
        flashinfer_bytes=14.0,
        top_rows=132,
        sparse_absorbed=True,
        index_groups=True,
        spread=Spread((0.95, 1.05), (1.0, 1.25, 1.5), (0.6, 1.7), slack=0.1, non_torch=(0.07, 0.2)),
    ),
)


class UnknownVersion(Exception):  # noqa: N818 - reads as what happened
    """A version of vLLM is invalid, or older than the known ones."""


def release(version: str) -> tuple[int, int]:
    """Return the first two numbers of a version such as ``0.26.0``.

    Raises:
        UnknownVersion: the text is not a version.
    """
    parts = version.removeprefix("v").split(".")
    if len(parts) < 2 or not (parts[0].isdigit() and parts[1].isdigit()):
        raise UnknownVersion(f"{version} is not a version of vLLM, such as {LATEST}")
    return int(parts[0]), int(parts[1])


def behaviour(version: str) -> Behaviour:
    """Return the behaviour of a version such as ``0.26.0``.

    Raises:
        UnknownVersion: the text is not a version, or the version is older than 0.6.
    """
    number = release(version)
    known = [entry for entry in BEHAVIOURS if entry.since <= number]
    if not known:
        raise UnknownVersion(f"{version} is older than 0.6, whose memory profile is not known")
    return known[-1]


def batch_defaults(gpu_gib: float, gpu_name: str, version: tuple[int, int] = (0, 32)) -> tuple[int, int]:
    """Return the server's ``max_num_batched_tokens`` and ``max_num_seqs`` for a GPU.

    After ``get_batch_defaults`` of 0.32 and 0.33; before 0.8 there was one default for all GPUs. An A100, and since
    0.33 a GB10, have the memory of the larger GPUs, but not their defaults.
    """
    if version < (0, 8):
        return 2048, 256
    if gpu_gib >= LARGE_GPU_GIB:
        return 16384, 1024
    slower = ("a100", "gb10") if version >= (0, 33) else ("a100",)
    if gpu_gib >= 70 and not any(name in gpu_name.lower() for name in slower):
        return 8192, 1024
    return 2048, 256


def graph_sizes(max_num_seqs: int, large_gpu: bool = False) -> int:
    """Return the number of batch sizes with a CUDA graph: 1, 2, 4, then steps of 8 up to 256, and of 16 above."""
    top = min(2 * max_num_seqs, 1024 if large_gpu else 512)
    sizes = {size for size in (1, 2, 4) if size <= top}
    sizes |= set(range(8, min(top, 256) + 1, 8)) | set(range(272, top + 1, 16))
    return len(sizes)


def full_graph_sizes(max_num_seqs: int, large_gpu: bool = False) -> int:
    """Return the number of those sizes that decoding also has a full graph for: up to ``max_num_seqs``."""
    top = min(max_num_seqs, 1024 if large_gpu else 512)
    return (
        len([size for size in (1, 2, 4) if size <= top])
        + len(range(8, min(top, 256) + 1, 8))
        + len(range(272, top + 1, 16))
    )
