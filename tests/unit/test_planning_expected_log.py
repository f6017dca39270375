"""The lines that vLLM 0.32 prints, parsed again, and its errors, word for word as in its source."""

from __future__ import annotations

import pytest

from unit.planning_data.table import architecture, question_of
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.prediction import Prediction, predict
from vmn.core.planning.startup_log.expected import log_lines
from vmn.core.planning.startup_log.parse import parse_log


def prediction_of(model: str, gpu: str, layout: Layout, length: int | None = None) -> Prediction:
    return predict(question_of(architecture(model), gpu, layout, max_model_len=length), layout)


@pytest.mark.parametrize(
    ("model", "layout"), [("llama8b", Layout()), ("dsr1-32L", Layout(2, 2)), ("qwen3-30b", Layout(2))]
)
def test_lines_are_read_back(model: str, layout: Layout) -> None:
    prediction = prediction_of(model, "h200", layout, 8192)
    log = parse_log("\n".join(log_lines(prediction)))
    assert log.tokens == int(prediction.tokens.expected)
    assert log.concurrency_length == 8192
    weights = [worker.weights_gib for worker in log.workers]
    assert weights == pytest.approx([rank.weights_gib for rank in prediction.ranks], abs=0.005)


def test_first_worker_that_has_too_little_is_named() -> None:
    prediction = prediction_of("llama405b-8L", "a100-80gb", Layout(), 4_000_000)
    rank = prediction.ranks[0]
    *_, error = log_lines(prediction)
    available, needed = rank.available.expected - rank.block_bytes / 2**30, round(prediction.needed_gib, 2)
    assert error == (
        "ValueError: To serve at least one request with the model's max seq len (4000000), "
        f"({needed} GiB KV cache is needed, which is larger than the available KV cache memory "
        f"({round(available, 2)} GiB). Based on the available memory, the estimated maximum model length is "
        f"{rank.longest}. Try increasing `gpu_memory_utilization` (which also controls CPU memory on the CPU backend) "
        "or decreasing `max_model_len` when initializing the engine. See "
        "https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."
    )
    log = parse_log(error)
    assert (log.error, log.error_length, log.longest) == ("too_long", 4_000_000, rank.longest)


def test_weights_that_leave_nothing_end_in_another_error() -> None:
    *_, error = log_lines(prediction_of("deepseek-ai--DeepSeek-R1", "h100", Layout(8)))
    assert error == (
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
        "initializing the engine (this flag also controls CPU memory reservation on the CPU backend, despite its name)."
        " See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."
    )


def test_later_stage_may_be_the_one_that_fails() -> None:
    """DeepSeek R1's second stage has the heavier layers: its own numbers are in the error."""
    layout = Layout(8, 2)
    prediction = prediction_of("deepseek-ai--DeepSeek-R1", "h100", layout)
    length = (prediction.ranks[0].longest + prediction.ranks[1].longest) // 2
    if prediction.ranks[0].longest == prediction.ranks[1].longest:
        length = int(prediction.tokens.expected) + 16_384
    longer = prediction_of("deepseek-ai--DeepSeek-R1", "h100", layout, length)
    assert not longer.fits
    assert parse_log(log_lines(longer)[-1]).error_length == length


def test_layout_that_vllm_refuses_has_its_error() -> None:
    assert log_lines(prediction_of("llama8b", "h100", Layout(3))) == [
        "Total number of attention heads (32) must be divisible by tensor parallel size (3)."
    ]


def test_layout_that_only_the_chart_refuses_has_no_lines() -> None:
    assert log_lines(prediction_of("llama8b", "h100", Layout(1, 1, 2))) == []
