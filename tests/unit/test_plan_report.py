"""Ledgers add up, and numbers have their form, for all models of the registry."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unit.planning_data.registry import planned
from vmn.adapters.models import load_model, registered_model
from vmn.app.plan_request import NETWORKS
from vmn.app.planner import Plan
from vmn.core.names import similar
from vmn.core.planning.candidates import LayoutFilter, one_layout, predictions
from vmn.core.planning.gpus import GPUS, find_gpu
from vmn.core.planning.layout import constraints
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import Band
from vmn.core.planning.model.architecture import ConfigError
from vmn.core.planning.model.quantization.online import ONLINE, with_quantization
from vmn.core.planning.prediction import VllmOptions, plan_context, predict
from vmn.report.plan import band, compact, name, text, times
from vmn.report.plan_explain import explanation
from vmn.report.plan_json import as_json
from vmn.report.plan_ledger import CACHE, UNUSED, explanations, ledger
from vmn.report.plan_plot import svg


def plan_of(number: int, gpu: str, layout: Layout, options: VllmOptions) -> Plan:
    """Return the plan for one layout of a model of the registry, by its number."""
    model = planned()[number % len(planned())]
    context = plan_context(model.architecture, find_gpu(gpu), Cluster(layout.pipeline, layout.tensor), options)
    return Plan(model, context, options, [predict(context, layout)])


PLANS = {
    "number": st.integers(0, 999),
    "gpu": st.sampled_from([gpu.name for gpu in GPUS]),
    "layout": st.builds(
        Layout, st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 3, 5, 8]), st.just(1), st.booleans()
    ),
    "options": st.builds(VllmOptions, eager=st.booleans(), kv_dtype=st.sampled_from(["auto", "fp8"])),
}


@given(**PLANS)
def test_ledger_adds_up_and_agrees_with_vllms_lines(
    number: int, gpu: str, layout: Layout, options: VllmOptions
) -> None:
    plan = plan_of(number, gpu, layout, options)
    for rank in plan.best.ranks:
        lines = ledger(plan.context, rank)
        assert sum(lines.values()) == round(plan.context.gpu.gib * 100)
        assert sum(lines[part] for part in rank.weights) == round(rank.weights_gib * 100)
        assert lines[CACHE] == round(rank.available.expected * 100)
        assert min(size for line, size in lines.items() if line != CACHE) >= 0
        for part, size in rank.weights.items():
            assert abs(lines[part] - size * 100) < 1
        assert set(lines) <= set(explanations(plan.context, plan.best))


@given(**PLANS)
def test_explanation_keeps_to_its_width_and_its_columns_add_up(
    number: int, gpu: str, layout: Layout, options: VllmOptions
) -> None:
    plan = plan_of(number, gpu, layout, options)
    lines = explanation(plan).partition("vLLM will print")[0].splitlines()
    assert [line for line in lines if len(line) > 120 and "https://" not in line] == []
    if not plan.best.ranks:
        return
    start = next(index for index, line in enumerate(lines) if line.startswith("  GiB, in stage"))
    end = next(index for index, line in enumerate(lines) if line.startswith("  sum"))
    first = [line[16:24].strip() for line in lines[start + 1 : end + 1]]
    numbers = [0 if cell == "\N{EN DASH}" else round(float(cell) * 100) for cell in first]
    assert sum(numbers[:-1]) == numbers[-1]


@given(**PLANS)
def test_picture_is_well_formed_and_json_is_json(number: int, gpu: str, layout: Layout, options: VllmOptions) -> None:
    plan = plan_of(number, gpu, layout, options)
    assert len(json.loads(as_json(plan))["layouts"]) == 1
    if plan.best.ranks:
        bars = ET.fromstring(svg(plan)).findall("{http://www.w3.org/2000/svg}rect[@height='34']")
        assert len(bars) >= 4 * len(plan.best.ranks)
        assert all(float(bar.attrib["x"]) + float(bar.attrib["width"]) <= 971 for bar in bars)


def test_verdict_is_colored_only_when_asked_for() -> None:
    model = registered_model("meta-llama/Meta-Llama-3.1-8B")
    context = plan_context(model.architecture, GPUS[0], Cluster(1, 2), VllmOptions())
    plan = Plan(model, context, VllmOptions(), predictions(context, LayoutFilter()))
    assert "\x1b[32myes\x1b[0m" in text(plan, color=True)
    assert text(plan, color=True).replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "") == text(plan)


def test_unused_part_is_what_vllm_does_not_use() -> None:
    model = registered_model("meta-llama/Meta-Llama-3.1-8B").architecture
    context = plan_context(model, GPUS[0], Cluster(1, 1), VllmOptions(utilization=0.5))
    rank = predict(context, Layout()).ranks[0]
    assert ledger(context, rank)[UNUSED] == 3959


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10k"),
        (999_499, "999k"),
        (999_600, "1.00M"),
        (1_214_464, "1.21M"),
        (12_345_678, "12.3M"),
    ],
)
def test_count_is_written_in_short(number: float, written: str) -> None:
    assert compact(number) == written


def test_band_is_one_number_when_it_is_known() -> None:
    assert band(Band(2, 2, 2), times) == "2.00"
    assert band(Band(9.5, 12.34, 120), times) == "9.50\N{EN DASH}12.3\N{EN DASH}120"


@pytest.mark.parametrize(
    ("layout", "written"),
    [
        (Layout(), "TP1"),
        (Layout(8, 2), "TP8 PP2"),
        (Layout(1, 1, 16, True), "TP1 DP16 EP"),
        (Layout(8, 1, 1, False, 8), "TP8 DCP8"),
    ],
)
def test_layout_is_written_in_short(layout: Layout, written: str) -> None:
    assert name(layout) == written


@pytest.mark.parametrize(
    ("wanted", "layout"),
    [
        (LayoutFilter(tensor=8), Layout(8, 2)),
        (LayoutFilter(tensor=3), Layout(3, 5)),
        (LayoutFilter(pipeline=4), Layout(4, 4)),
        (LayoutFilter(data=2, expert=True), Layout(8, 1, 2, True)),
        (LayoutFilter(tensor=2, data=2, decode_context=2), Layout(2, 4, 2, False, 2)),
        (LayoutFilter(tensor=32), Layout(32, 1)),
    ],
)
def test_layout_is_filled_in_when_parts_are_given(wanted: LayoutFilter, layout: Layout) -> None:
    assert one_layout(wanted, Cluster(2, 8)) == layout


def test_name_is_found_when_it_is_nearly_right() -> None:
    known = ["deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3-32B"]
    assert similar("deepseek-r2", known)[0] == "deepseek-ai/DeepSeek-R1"
    assert similar("deepseek/deepseek-r1", known)[0] == "deepseek-ai/DeepSeek-R1"
    assert similar("32b", known) == ["Qwen/Qwen3-32B"]
    assert similar("zzzzzz", known) == []


def test_model_of_the_registry_is_found_in_any_case_and_without_its_organisation() -> None:
    assert registered_model("DEEPSEEK-R1") == load_model("deepseek-ai/deepseek-r1")


@pytest.mark.parametrize("method", [*ONLINE, "fp8", "awq", "nonsense"])
def test_quantization_gives_smaller_weights_or_a_reason(method: str) -> None:
    model = registered_model("Qwen/Qwen3-30B-A3B")
    context = plan_context(model.architecture, GPUS[0], Cluster(1, 1), VllmOptions())
    try:
        smaller = with_quantization(model.architecture, model.config, method, (0, 32))
    except ConfigError as error:
        assert method not in ONLINE
        assert "checkpoint" in str(error) or "online" in str(error)
        return
    other = plan_context(smaller, GPUS[0], Cluster(1, 1), VllmOptions())
    plain, small = (predict(asked, Layout()).ranks[0].weights_gib for asked in (context, other))
    assert 0.25 < small / plain < 0.6


@pytest.mark.parametrize("method", ["fp8", None])
def test_quantization_of_the_checkpoint_itself_changes_nothing(method: str | None) -> None:
    model = registered_model("deepseek-ai/DeepSeek-R1")
    assert with_quantization(model.architecture, model.config, method, (0, 32)) is model.architecture


def test_networks_are_those_of_the_planner() -> None:
    assert NETWORKS == constraints.NETWORKS


def test_refused_layout_is_explained_in_vllms_words_too() -> None:
    model = registered_model("meta-llama/Llama-3.1-8B-Instruct")
    context = plan_context(model.architecture, find_gpu("h100"), Cluster(1, 3), VllmOptions())
    lines = explanation(Plan(model, context, VllmOptions(), [predict(context, Layout(3))])).splitlines()
    assert "TP3: no, tensor 3 does not divide 32 attention heads" in lines
    assert lines[-1] == "  Total number of attention heads (32) must be divisible by tensor parallel size (3)."
