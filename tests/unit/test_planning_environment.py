"""Variables of vLLM that change a plan: what they settle, and values that vLLM can't read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from unit.planning_data.table import architecture
from vmn.app.plan_request import PlanRequest
from vmn.app.planner import PlanError, plan
from vmn.core.planning.gpus import find_gpu
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.prediction import Prediction, Rank, VllmOptions, plan_context, predict
from vmn.core.planning.vllm.environment import VARIABLES, Misread, known_variables, settings

SAMPLER, GRAPHS = "VLLM_USE_FLASHINFER_SAMPLER", "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS"
PARTITION, LOGITS = "VLLM_PP_LAYER_PARTITION", "VLLM_SPARSE_INDEXER_MAX_LOGITS_MB"
LONG = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
LLAMA, SPARSE = "meta-llama--Llama-3.1-8B-Instruct", "deepseek-ai--DeepSeek-V3.2"
ONE = Layout()


def predicted(env: Mapping[str, str], name: str = LLAMA, layout: Layout = ONE, version: str = "0.33.0") -> Prediction:
    options = VllmOptions(version=version, **settings(env))
    context = plan_context(architecture(name), find_gpu("h200"), Cluster(1, layout.gpus), options)
    return predict(context, layout)


def rank(env: Mapping[str, str], version: str = "0.33.0") -> Rank:
    return predicted(env, version=version).ranks[0]


def test_sampler_settles_which_end_of_the_band_counts() -> None:
    unknown, triton, flashinfer = (rank(env).activation for env in ({}, {SAMPLER: "0"}, {SAMPLER: "1"}))
    assert triton.expected == unknown.expected < flashinfer.expected
    assert triton.high < unknown.high == pytest.approx(flashinfer.high)
    assert flashinfer.high - flashinfer.low < unknown.high - unknown.low


def test_graphs_take_nothing_off_the_cache_when_their_estimate_is_off() -> None:
    with_graphs, without = rank({}), rank({GRAPHS: "0"})
    assert (without.graphs.low, without.graphs.high) == (0.0, 0.0)
    assert without.available.expected - with_graphs.available.expected == pytest.approx(with_graphs.graphs.expected)
    assert rank({GRAPHS: "1"}) == with_graphs
    assert rank({GRAPHS: "1"}, version="0.19.0").graphs.high == 0.0


def test_logits_of_the_indexer_are_as_large_as_the_variable_says() -> None:
    layout = Layout(8)
    small, large = (predicted({LOGITS: size}, SPARSE, layout).ranks[0] for size in ("512", "4096"))
    assert predicted({}, SPARSE, layout).ranks[0] == small
    assert 2.5 < large.activation.expected - small.activation.expected <= 3.5
    assert rank({LOGITS: "4096"}) == rank({})


def test_stages_have_the_layers_of_the_partition() -> None:
    given = predicted({PARTITION: "20,12"}, layout=Layout(1, 2)).ranks
    derived = predicted({}, layout=Layout(1, 2)).ranks
    assert [each.layers for each in given] == [20, 12]
    assert [each.layers for each in derived] == [16, 16]
    assert given[0].weights_gib > derived[0].weights_gib
    assert given[1].weights_gib < derived[1].weights_gib


@pytest.mark.parametrize(
    ("partition", "words", "line"),
    [
        ("16,8,8", "has 3 stages, but the layout has 2", "len(partitions)=3 does not match pp_size=2."),
        ("20,11", "has 31 layers, but the model has 32", "sum(partitions)=31 does not match num_hidden_layers=32."),
    ],
)
def test_partition_of_other_stages_or_layers_is_refused(partition: str, words: str, line: str) -> None:
    found = predicted({PARTITION: partition}, layout=Layout(1, 2))
    assert found.rejected
    assert words in found.rejected
    assert found.refusal_line == line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (SAMPLER, "yes"),
        (SAMPLER, ""),
        (GRAPHS, "off"),
        (LOGITS, "0"),
        (LOGITS, "1G"),
        (PARTITION, "31;30"),
        (PARTITION, "-1,33"),
    ],
)
def test_value_that_vllm_can_t_read_is_explained(name: str, value: str) -> None:
    with pytest.raises(Misread, match=rf"{name} takes .* \(got {value}\)\. Write") as caught:
        settings({name: value})
    assert caught.value.name == name


def test_other_variables_are_left_out_and_all_known_ones_set_a_field() -> None:
    assert settings({"VLLM_LOGGING_LEVEL": "DEBUG"}) == {}
    fields = VllmOptions.__dataclass_fields__
    assert all(variable.field in fields for variable in VARIABLES.values())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("VLLM_USE_FLASHINFER_SAMPLR=0", f"Did you mean {SAMPLER}"),
        ("CUDA_VISIBLE_DEVICES=0", "changes nothing that the planner counts"),
        (SAMPLER, "takes 0 or 1"),
    ],
)
def test_variable_of_the_command_line_that_says_nothing_is_refused(given: str, words: str) -> None:
    assert known_variables([f"{SAMPLER}=0"]) == {SAMPLER: "0"}
    with pytest.raises(Misread, match=words):
        known_variables([given])


def test_longer_requests_than_the_model_s_limit_are_planned_only_when_vllm_takes_them() -> None:
    asked = PlanRequest(model="meta-llama/Llama-3.1-8B-Instruct", gpu="h200", max_model_len=200_000, tensor=8)
    with pytest.raises(PlanError, match="exceeds the model's own limit of 131072"):
        plan(replace(asked, env=(f"{LONG}=0",)))
    assert plan(replace(asked, env=(f"{LONG}=1",))).best.length == 200_000
