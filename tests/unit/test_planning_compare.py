"""Predictions against logs: what agrees, what contradicts, and what a log teaches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from unit.planning_data.table import architecture
from vmn.core.planning.gpus import find_gpu
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import Band
from vmn.core.planning.prediction import PlanContext, Prediction, VllmOptions, plan_context, predict, predict_all
from vmn.core.planning.startup_log.compare import Calibration, calibrate, check, layout_of, options_of
from vmn.core.planning.startup_log.parse import StartupLog, WorkerLog, parse_log

LOGS = Path(__file__).parent / "planning_data/logs"
NAMES = {"dsr1-32L-tp2-pp2": "dsr1-32L", "llama405b-8L-tp1": "llama405b-8L"}


def text_of(name: str) -> str:
    return (LOGS / f"{name}.log").read_text(encoding="utf-8")


def question_of_log(name: str, **given: object) -> PlanContext:
    log = parse_log(text_of(name))
    options = dataclasses.replace(options_of(log, VllmOptions()), **given)  # type: ignore[arg-type]
    return plan_context(architecture(NAMES[name]), find_gpu("h200"), Cluster(1, layout_of(log).gpus, "nvlink"), options)


def prediction_of_log(name: str) -> Prediction:
    return predict(question_of_log(name), layout_of(parse_log(text_of(name))))


def calibration_of(name: str) -> Calibration:
    log = parse_log(text_of(name))
    return calibrate(question_of_log(name), layout_of(log), log)


def width(band: Band) -> float:
    return band.high - band.low


@pytest.mark.parametrize("name", NAMES)
def test_context_is_read_from_the_log(name: str) -> None:
    log = parse_log(text_of(name))
    options = options_of(log, VllmOptions())
    assert (options.version, options.utilization, options.eager) == ("0.26.0", 0.92, True)
    assert (options.max_model_len, options.batched_tokens) == (log.concurrency_length, 16_384)
    assert options_of(log, VllmOptions(max_model_len=1024, utilization=0.5)).max_model_len == 1024


def test_layout_is_read_from_the_log() -> None:
    assert [layout_of(parse_log(text_of(name))) for name in NAMES] == [Layout(2, 2), Layout()]


@pytest.mark.parametrize("name", NAMES)
def test_log_agrees_with_the_prediction(name: str) -> None:
    assert check(prediction_of_log(name), parse_log(text_of(name))) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("dsr1-32L-tp2-pp2", "2,010,672", "2,110,672", "tokens of KV cache 2,110,672"),
        ("dsr1-32L-tp2-pp2", "490.89x", "480.89x", "are not 480.89 requests"),
        ("dsr1-32L-tp2-pp2", "71.83 GiB", "75.83 GiB", "stage 0: GiB of weights 75.83"),
        ("dsr1-32L-tp2-pp2", "6.94 GiB", "9.94 GiB", "stage 1: GiB of peak activation 9.94"),
        ("dsr1-32L-tp2-pp2", "50.0 GiB", "47.0 GiB", "stage 0: GiB for the KV cache 47.00"),
        ("dsr1-32L-tp2-pp2", "0.07 GiB", "2.07 GiB", "GiB outside of PyTorch 2.07"),
        ("dsr1-32L-tp2-pp2", "pipeline_parallel_size=2", "pipeline_parallel_size=4", "pipeline parallel size 4"),
        ("dsr1-32L-tp2-pp2", "128.62 GiB", "71.26 GiB", "may use 71.26 GiB"),
        ("dsr1-32L-tp2-pp2", "for 4,096 tokens", "for 8,192 tokens", "requests of 8,192 tokens"),
        ("llama405b-8L-tp1", "55.36 GiB", "55.66 GiB", "the parts miss the budget by -0.30 GiB"),
        ("llama405b-8L-tp1", "66.63 GiB", "60.63 GiB", "hold 1,986,7"),
    ],
)
def test_changed_log_contradicts(name: str, old: str, new: str, expected: str) -> None:
    text = text_of(name)
    assert old in text
    assert expected in "\n".join(check(prediction_of_log(name), parse_log(text.replace(old, new))))


def test_failure_contradicts_where_a_start_was_sure() -> None:
    name = "llama405b-8L-tp1"
    failed = StartupLog(error="no_blocks")
    assert check(prediction_of_log(name), failed) == [
        "vLLM did not start for lack of memory, but the prediction is that it surely does"
    ]


def test_start_contradicts_where_nothing_fits() -> None:
    context = plan_context(
        architecture("deepseek-ai--DeepSeek-R1"), find_gpu("h100"), Cluster(1, 8, "nvlink"), VllmOptions()
    )
    prediction = predict(context, Layout(8))
    assert check(prediction, StartupLog(tokens=100_000)) == ["vLLM started, but the prediction is that no request fits"]


def test_log_of_32_is_compared_by_what_it_says() -> None:
    prediction = prediction_of_log("llama405b-8L-tp1")
    both = WorkerLog("", consumed_gib=55.58, activation_gib=6.41, available_gib=66.63, budget_gib=128.62)
    assert check(prediction, StartupLog(workers=(both,))) == []
    off = dataclasses.replace(both, consumed_gib=59.0)
    assert len(check(prediction, StartupLog(workers=(off,)))) == 2  # outside its band, and the parts don't add up


@pytest.mark.parametrize(("estimate", "agrees"), [(None, True), (1.0, True), (3.0, False)])
def test_cuda_graphs_are_reserved_in_addition_to_the_activations(estimate: float | None, agrees: bool) -> None:
    """Before 0.32 the estimate has its own line, which a log may not have."""
    context = question_of_log("dsr1-32L-tp2-pp2", eager=False)
    layout = Layout(4)
    rank = predict(context, layout).ranks[0]
    available = rank.available.expected + rank.graphs.expected - 1.0
    worker = WorkerLog(
        "",
        weights_gib=rank.weights_gib,
        activation_gib=rank.activation.expected,
        non_torch_gib=rank.non_torch.expected,
        available_gib=available,
        budget_gib=context.budget,
        graphs_estimate_gib=estimate,
    )
    assert (check(predict(context, layout), StartupLog(workers=(worker,))) == []) is agrees
    after = predict(calibrate(context, layout, StartupLog(workers=(worker,))).context, layout).ranks[0]
    if estimate == 1.0:
        assert after.graphs.expected == pytest.approx(1.0)
        assert after.available.expected == pytest.approx(available)


@pytest.mark.parametrize("name", NAMES)
def test_calibration_says_what_was_off(name: str) -> None:
    found = calibration_of(name)
    assert {"GiB of weights", "GiB of peak activation", "GiB for the KV cache"} <= {e.what for e in found.comparisons}
    assert found.misses == []
    assert all(abs(entry.error) < 0.02 for entry in found.comparisons if "outside of PyTorch" not in entry.what)


@pytest.mark.parametrize("name", NAMES)
def test_calibrated_prediction_matches_the_log(name: str) -> None:
    log, found = parse_log(text_of(name)), calibration_of(name)
    after = predict(found.context, layout_of(log))
    assert after.tokens.expected == pytest.approx(log.tokens, rel=0.001)
    assert after.tokens.low <= (log.tokens or 0) <= after.tokens.high
    assert width(after.tokens) < width(found.before.tokens)


def test_calibration_tightens_other_layouts_and_lengths() -> None:
    name = "dsr1-32L-tp2-pp2"
    found = calibration_of(name)
    for layout in (Layout(4), Layout(2, 2)):
        before = predict(question_of_log(name, max_model_len=65_536, eager=False), layout)
        longer = dataclasses.replace(
            question_of_log(name, max_model_len=65_536, eager=False), correction=found.context.correction
        )
        after = predict(longer, layout)
        assert width(after.tokens) < width(before.tokens)
        assert after.tokens.low >= before.tokens.low
        assert after.tokens.expected == pytest.approx(before.tokens.expected, rel=0.02)


def test_calibrated_context_plans_all_layouts() -> None:
    found = calibration_of("dsr1-32L-tp2-pp2")
    plans = [plan for plan in predict_all(found.context) if plan.rejected is None]
    assert Layout(2, 2) in [plan.layout for plan in plans]
    assert all(plan.tokens.low <= plan.tokens.expected <= plan.tokens.high for plan in plans)


def test_overhead_is_found_without_being_named() -> None:
    """For versions that only print weights and the KV cache, the difference tells the rest."""
    name = "llama405b-8L-tp1"
    short = StartupLog(workers=(WorkerLog("", weights_gib=55.36, available_gib=64.63),), tokens=2_117_664)
    found = calibrate(question_of_log(name), Layout(), short)
    assert [entry.what for entry in found.misses] == ["GiB for the KV cache", "tokens of KV cache"]
    after = predict(found.context, Layout()).ranks[0]
    assert after.activation.expected == pytest.approx(6.41 + 2.0, abs=0.05)
    assert after.available.expected == pytest.approx(64.63, abs=0.01)


def test_empty_log_changes_nothing() -> None:
    name = "llama405b-8L-tp1"
    context = question_of_log(name)
    found = calibrate(context, Layout(), StartupLog())
    assert found.comparisons == []
    assert check(found.before, StartupLog()) == []
    assert predict(found.context, Layout()).tokens.expected == pytest.approx(found.before.tokens.expected, rel=1e-6)


def test_drafts_of_the_log_do_not_contradict_its_own_tokens() -> None:
    name, argument = "llama405b-8L-tp1", "non-default args: {'speculative_config': {'method': 'mtp'}}"
    log, prediction = parse_log(text_of(name)), prediction_of_log(name)
    fewer = dataclasses.replace(log, tokens=int((log.tokens or 0) * 0.98), concurrency=None)
    assert any("hold" in line for line in check(prediction, fewer))
    assert parse_log(argument).has_drafts
    assert not parse_log("non-default args: {'speculative_config': None}").has_drafts
    drafted = check(prediction, dataclasses.replace(fewer, has_drafts=True))
    assert not any("hold" in line for line in drafted)
    assert not drafted or "speculative decoding" in drafted[-1]
