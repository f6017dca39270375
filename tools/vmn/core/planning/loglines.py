"""The lines that vLLM will print for a prediction, or the error it will end with, word by word (0.32)."""

from __future__ import annotations

from vmn.core.planning.prediction import Prediction


def log_lines(prediction: Prediction, pool: str = "GPU") -> list[str]:
    """Return vLLM's lines on memory with the expected numbers, in their order; none for a refused layout.

    Args:
        prediction: of a layout that vLLM accepts.
        pool: what vLLM calls the device.
    """
    if prediction.rejected or not prediction.ranks:
        return []
    lines = [
        f"{_worker(prediction, rank.stage)} Model loading took {_gib(rank.weights_gib)} GiB memory"
        for rank in prediction.ranks
    ]
    lines += [
        f"{_worker(prediction, rank.stage)} Available KV cache memory: {_gib(rank.available.expected)} GiB"
        for rank in prediction.ranks
    ]
    if prediction.fits:
        one = int(prediction.tokens.expected) // prediction.layout.data
        concurrency = prediction.concurrency.expected / prediction.layout.data
        lines.append(
            f"{pool} KV cache size: {one:,} tokens, "
            f"Maximum concurrency for {prediction.length:,} tokens per request: {concurrency:.2f}x"
        )
    else:
        lines.append(_error(prediction))
    return lines


def _error(prediction: Prediction) -> str:
    worst = min(prediction.ranks, key=lambda rank: rank.available.expected)
    if worst.available.expected <= 0:
        return (
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
            "initializing the engine"
        )
    hint = ""
    if prediction.longest.expected > 0:
        hint = (
            f"Based on the available memory, the estimated maximum model length is {int(prediction.longest.expected)}. "
        )
    return (
        f"ValueError: To serve at least one request with the model's max seq len ({prediction.length}), "
        f"({_gib(prediction.needed_gib)} GiB KV cache is needed, which is larger than the available KV cache memory "
        f"({_gib(worst.available.expected)} GiB). {hint}Try increasing `gpu_memory_utilization` or decreasing "
        "`max_model_len` when initializing the engine."
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
