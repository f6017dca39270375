"""What stays allocated next to the model: buffers of the model runner, and workspaces."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from unit.planning_data.table import Point, architecture, of_today
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import GIB, Batch, RankContext, peak_activation, staying_activation
from vmn.core.planning.memory.overhead import TRITON_FP8_GRAPHS_GIB, graphs, non_torch
from vmn.core.planning.startup_log.compare import check
from vmn.core.planning.startup_log.parse import StartupLog, WorkerLog, parse_log
from vmn.core.planning.vllm.versions import behaviour

LLAMA = "meta-llama--Llama-3.1-8B-Instruct"
QWEN = "Qwen--Qwen3.8-2.4T-A95B"
LOGITS = 1024 * 128_256 / GIB


def rank_of(
    model: str = LLAMA,
    version: str = "0.33.0",
    stage: int = 0,
    layout: Layout | None = None,
    requests: int = 1024,
    drafted: int = 0,
) -> RankContext:
    step = Batch(8192, requests, 32_768, eager=True, drafted=drafted)
    return RankContext(architecture(model), layout or Layout(), step, behaviour(version), stage, False, False)


def kept(**change: Any) -> float:
    """Return what is more than without requests, whose libraries are the same."""
    one, none = (non_torch(rank_of(**change, requests=requests)).expected for requests in (1024, 0))
    return one - none


@pytest.mark.parametrize(
    ("change", "each"),
    [
        ({}, 4.25),
        ({"version": "0.32.0"}, 4.25),
        ({"drafted": 3}, 4.625),
        ({"version": "0.26.0"}, 0.0),
        ({"layout": Layout(2)}, 4.25),
        ({"layout": Layout(1, 2), "stage": 0}, 0.0),
        ({"layout": Layout(1, 2), "stage": 1}, 4.25),
    ],
)
def test_sampler_keeps_counts_and_masks_of_each_request(change: dict[str, Any], each: float) -> None:
    assert kept(**change) == pytest.approx(each * LOGITS)


@pytest.mark.parametrize(("version", "states"), [("0.33.0", 2), ("0.26.0", 0)])
def test_later_stage_keeps_what_it_receives(version: str, states: int) -> None:
    layout = Layout(1, 3)
    first, second = (non_torch(rank_of(version=version, layout=layout, stage=stage)).expected for stage in (0, 1))
    assert second - first == pytest.approx(states * 8192 * 4096 * 2 / GIB)


def test_gated_attention_is_the_peak_of_a_wide_model_without_the_compiler() -> None:
    """Qwen3.8 on an H200 took 4.7 to 4.8 GiB of activations, of which 2.5 are the workspace of the experts."""
    rank = rank_of(QWEN)
    assert peak_activation(rank).expected == pytest.approx(4.74, abs=0.1)
    assert staying_activation(rank) == pytest.approx(2.5 + 132 * 248_320 * 4 / GIB)


def point(name: str) -> Point:
    return next(one for one in of_today() if one.name.startswith(name))


def test_log_of_experts_counts_their_workspace_with_the_weights() -> None:
    worker = WorkerLog("", consumed_gib=39.93, activation_gib=4.86, available_gib=83.83, budget_gib=128.62)
    prediction = point("DeepSeek-R1, 6 layers").prediction
    assert check(prediction, StartupLog(workers=(worker,))) == []
    without = dataclasses.replace(worker, consumed_gib=38.18, activation_gib=6.61)
    assert len(check(prediction, StartupLog(workers=(without,)))) == 2


def sampling(flashinfer: bool | None, version: str = "0.33.0") -> Any:
    rank = rank_of(version=version)
    return peak_activation(dataclasses.replace(rank, batch=dataclasses.replace(rank.batch, flashinfer=flashinfer)))


def test_flashinfer_s_sampler_makes_two_more_copies_of_the_logits() -> None:
    rows = 132 * 128_256 * 4 / GIB
    assert sampling(True).expected - sampling(False).expected == pytest.approx(8 * LOGITS - rows)
    assert sampling(True, "0.32.0") == sampling(False, "0.32.0")


def test_band_has_both_samplers_when_it_is_not_known_which_runs() -> None:
    unknown, triton, flashinfer = (sampling(which) for which in (None, False, True))
    assert (unknown.low, unknown.expected) == (triton.low, triton.expected)
    assert unknown.high == pytest.approx(flashinfer.high)


def test_rows_of_the_sampler_stay_unless_flashinfer_samples() -> None:
    rank = rank_of()
    own = dataclasses.replace(rank, batch=dataclasses.replace(rank.batch, flashinfer=True))
    assert staying_activation(rank) - staying_activation(own) == pytest.approx(132 * 128_256 * 4 / GIB)


@pytest.mark.parametrize(
    ("line", "flashinfer"),
    [
        ("INFO [topk_topp_sampler.py:149] Using FlashInfer for top-p & top-k sampling.", True),
        ("INFO [topk_topp_sampler.py:121] FlashInfer top-p/top-k sampling disabled via VLLM_USE_FLASHINFER_S…", False),
        (
            "WARNING [topk_topp_sampler.py:156] FlashInfer top-p/top-k sampling unavailable: no nvcc; falling back.",
            False,
        ),
        ("INFO [gpu_worker.py:772] Available KV cache memory: 112.12 GiB", None),
    ],
)
def test_log_says_which_sampler_runs(line: str, flashinfer: bool | None) -> None:
    assert parse_log(line).flashinfer is flashinfer


def estimate(capability: int, version: str = "0.33.0", expert: bool = False) -> float:
    """Return the most that graphs of DeepSeek-R1 are estimated at, cut to 8 layers in two stages."""
    model = architecture("deepseek-ai--DeepSeek-R1", num_hidden_layers=8, num_nextn_predict_layers=0)
    layout = Layout(1, 2, expert=expert)
    step = Batch(8192, 1024, 8192)
    return graphs(RankContext(model, layout, step, behaviour(version), 0, False, False, capability)).high


def test_estimate_of_graphs_may_be_large_where_triton_runs_fp8_experts() -> None:
    assert estimate(9) == TRITON_FP8_GRAPHS_GIB > 12.39
    assert max(estimate(10), estimate(9, "0.32.0"), estimate(9, expert=True)) < 3
