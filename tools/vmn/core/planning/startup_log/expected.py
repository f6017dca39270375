"""The lines that vLLM 0.32 prints for a prediction, or its error, word for word."""

from __future__ import annotations

from vmn.core.planning.memory.activation import GIB
from vmn.core.planning.prediction import Prediction


def log_lines(prediction: Prediction, pool: str = "GPU") -> list[str]:
    """Return vLLM's lines about memory with the expected numbers, or its error.

    Args:
        prediction: prediction for a layout; empty for a refused layout for which vLLM has no message.
        pool: vLLM's name of the device.
    """
    if prediction.rejected:
        return [prediction.refusal_line] if prediction.refusal_line else []
    lines = [
        f"{_worker(prediction, rank.stage)} Model loading took {_gib(rank.weights_gib)} GiB memory"
        for rank in prediction.ranks
    ]
    lines += [
        f"{_worker(prediction, rank.stage)} Available KV cache memory: {_gib(rank.available.expected)} GiB"
        for rank in prediction.ranks
    ]
    if prediction.concurrency.expected >= 1:
        one = int(prediction.tokens.expected) // prediction.layout.data
        concurrency = prediction.concurrency.expected / prediction.layout.data
        lines.append(
            f"{pool} KV cache size: {one:,} tokens, "
            f"Maximum concurrency for {prediction.length:,} tokens per request: {concurrency:.2f}x"
        )
    else:
        lines.append(_error(prediction))
    if prediction.has_too_many_requests and prediction.most_requests and prediction.concurrency.expected >= 1:
        lines.append(_too_many_requests(prediction.requests, int(prediction.most_requests.expected)))
    return lines


def _too_many_requests(requests: int, blocks: int) -> str:
    """Return what vLLM says before it captures graphs (``adjust_cudagraph_sizes_for_mamba_cache``)."""
    return (
        f"ValueError: max_num_seqs ({requests}) exceeds available Mamba cache blocks ({blocks}). Each decode sequence "
        "requires one Mamba cache block, so CUDA graph capture cannot proceed. Please lower max_num_seqs to at most "
        f"{blocks} or increase gpu_memory_utilization."
    )


MORE = "See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."


def _error(prediction: Prediction) -> str:
    """Return what vLLM says about the first worker with too little memory (``_check_enough_kv_cache_memory``)."""
    blocks = round(prediction.needed_gib * GIB / max(rank.block_bytes for rank in prediction.ranks))
    rank = next(rank for rank in prediction.ranks if rank.blocks.expected - 1 < blocks)
    available = rank.available.expected - rank.block_bytes / GIB  # without the null block, which requests never get
    if available <= 0:
        return (
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
            "initializing the engine (this flag also controls CPU memory reservation on the CPU backend, despite its "
            f"name). {MORE}"
        )
    hint = f"Based on the available memory, the estimated maximum model length is {rank.longest}. " * bool(rank.longest)
    return (
        f"ValueError: To serve at least one request with the model's max seq len ({prediction.length}), "
        f"({_gib(blocks * rank.block_bytes / GIB)} GiB KV cache is needed, which is larger than the available KV cache "
        f"memory ({_gib(available)} GiB). {hint}Try increasing `gpu_memory_utilization` (which also controls CPU "
        f"memory on the CPU backend) or decreasing `max_model_len` when initializing the engine. {MORE}"
    )


def _worker(prediction: Prediction, stage: int) -> str:
    layout = prediction.layout
    if layout.gpus == 1:
        return "(Worker)"
    parts = [f"PP{stage}" if layout.pipeline > 1 else "", "TP0" if layout.tensor > 1 else ""]
    name = "_".join(["Worker", *(part for part in parts if part)])
    return f"({name})"


def _gib(number: float) -> str:
    return f"{round(number, 2)}"
