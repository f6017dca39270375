"""What differs between vLLM's versions, as data. Each number has its source."""

from __future__ import annotations

from dataclasses import dataclass

LATEST = "0.32.0"


@dataclass(frozen=True)
class Behaviour:
    """Defaults and habits of vLLM from a version on.

    Attributes:
        since: first version.
        utilization: default of ``--gpu-memory-utilization``.
        graphs_charged: CUDA graphs are estimated and taken off the KV cache by default.
        runner_v2: which models run on the second model runner: ``none``, ``dense`` or ``all``.
    """

    since: tuple[int, int]
    utilization: float
    graphs_charged: bool
    runner_v2: str


BEHAVIOURS = (
    # 0.90 up to 0.19, 0.92 by 0.22 (config/cache.py); graphs are charged since 0.21 (envs.py,
    # VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS). Runners: seen in logs of 0.26 (dense models on the second), and in
    # the source of 0.32 (config/vllm.py, use_v2_model_runner: all).
    Behaviour((0, 6), 0.90, graphs_charged=False, runner_v2="none"),
    Behaviour((0, 20), 0.92, graphs_charged=False, runner_v2="none"),
    Behaviour((0, 21), 0.92, graphs_charged=True, runner_v2="none"),
    Behaviour((0, 26), 0.92, graphs_charged=True, runner_v2="dense"),
    Behaviour((0, 32), 0.92, graphs_charged=True, runner_v2="all"),
)


class UnknownVersion(Exception):  # noqa: N818 - reads as what happened
    """A version of vLLM that can't be read, or that is older than what is known."""


def behaviour(version: str) -> Behaviour:
    """Return what holds for a version such as ``0.26.0``.

    Raises:
        UnknownVersion: it is no version, or older than 0.6.
    """
    parts = version.removeprefix("v").split(".")
    if len(parts) < 2 or not (parts[0].isdigit() and parts[1].isdigit()):
        raise UnknownVersion(f"{version} is no version of vLLM, such as {LATEST}")
    number = (int(parts[0]), int(parts[1]))
    known = [entry for entry in BEHAVIOURS if entry.since <= number]
    if not known:
        raise UnknownVersion(f"{version} is older than 0.6, whose memory profile is not known here")
    return known[-1]


def batch_defaults(gpu_gib: float, gpu_name: str) -> tuple[int, int]:
    """Return the server's ``max_num_batched_tokens`` and ``max_num_seqs`` for a GPU (``get_batch_defaults``, 0.32)."""
    if gpu_gib >= 160:
        return 16384, 1024
    if gpu_gib >= 70 and "a100" not in gpu_name.lower():
        return 8192, 1024
    return 2048, 256


def graph_sizes(max_num_seqs: int, large_gpu: bool = False) -> int:
    """Return how many batch sizes CUDA graphs are captured for: 1, 2, 4, then steps of 8 to 256 and of 16 above."""
    top = min(2 * max_num_seqs, 1024 if large_gpu else 512)
    sizes = {size for size in (1, 2, 4) if size <= top}
    sizes |= set(range(8, min(top, 256) + 1, 8)) | set(range(272, top + 1, 16))
    return len(sizes)
