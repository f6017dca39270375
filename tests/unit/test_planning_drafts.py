"""Layers for multi-token prediction: which models have them, what they take, and where vLLM refuses them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from unit.planning_data.table import architecture
from vmn.core.planning.gpus import find_gpu
from vmn.core.planning.layout.constraints import Cluster, refusal
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import GIB
from vmn.core.planning.memory.weights import stage_weights
from vmn.core.planning.model.mtp import mtp_of
from vmn.core.planning.model.speculation import refused_drafts
from vmn.core.planning.prediction import Prediction, VllmOptions, plan_context, predict

R1 = "deepseek-ai--DeepSeek-R1"
V4 = "deepseek-ai--DeepSeek-V4-Flash"
NEMOTRON = "nvidia--NVIDIA-Nemotron-3-Super-120B-A12B-BF16"
INKLING = "thinkingmachines--Inkling"
LLAMA = "meta-llama--Llama-3.1-8B-Instruct"
NOW = (0, 32)
TWO_STAGES = Layout(8, 2)


def predicted(model: str, drafted: int, layout: Layout = TWO_STAGES, **options: Any) -> Prediction:
    """Return the prediction on as many H200 as the layout needs."""
    cluster = Cluster(1, layout.gpus, "nvlink")
    wanted = VllmOptions(drafted=drafted, eager=True, **options)
    return predict(plan_context(architecture(model), find_gpu("h200"), cluster, wanted), layout)


@pytest.mark.parametrize(
    ("kind", "fields", "depth"),
    [
        ("deepseek_v3", {"num_nextn_predict_layers": 1}, 1),
        ("deepseek_v3", {}, 0),
        ("deepseek_v3", {"num_nextn_predict_layers": None}, 0),
        ("kimi_k3", {"num_nextn_predict_layers": 0}, 0),
        ("qwen3_next", {}, 1),
        ("qwen3_5_moe", {"mtp_num_hidden_layers": 2}, 2),
        ("minimax_m3_vl", {"num_mtp_modules": 3}, 3),
        ("inkling_mm_model", {"mtp_config": {"num_nextn_predict_layers": 8}}, 8),
        ("inkling_mm_model", {"mtp_config": None}, 0),
        ("kimi_k2", {"num_nextn_predict_layers": 1}, None),
        ("deepseek_v41", {"num_nextn_predict_layers": 3}, None),
        ("llama", {}, None),
    ],
)
def test_depth_is_read_where_vllm_reads_it(kind: str, fields: dict[str, object], depth: int | None) -> None:
    found = mtp_of(kind, fields)
    assert (found.depth if found else None) == depth


@pytest.mark.parametrize(
    ("model", "tokens", "words"),
    [
        (R1, 1, ""),
        (R1, 5, ""),
        (INKLING, 3, ""),
        (INKLING, 16, ""),
        (INKLING, 12, "12 tokens are not a multiple of the 8 layers"),
        ("moonshotai--Kimi-K3", 1, "no layers for it"),
        (LLAMA, 1, "no multi-token prediction for this model"),
    ],
)
def test_number_of_tokens_is_refused_as_vllm_refuses_it(model: str, tokens: int, words: str) -> None:
    said = refused_drafts(tokens, architecture(model))
    assert bool(said) == bool(words)
    assert words in said


def test_last_of_several_stages_has_an_embedding_of_the_drafts() -> None:
    drafting = architecture(R1).with_drafts(NOW)
    table = 129_280 * 7168 * 2 / 8
    for model, wanted in ((architecture(R1), [table, 0]), (drafting, [table, table])):
        assert [stage_weights(model, TWO_STAGES, stage).get("embedding", 0) for stage in (0, 1)] == wanted
    assert stage_weights(drafting, Layout(8), 0)["embedding"] == table


def test_tied_head_and_drafts_each_have_a_table_on_the_last_stage() -> None:
    model = dataclasses.replace(architecture(R1), tied=True).with_drafts(NOW)
    one, both = (stage_weights(model, TWO_STAGES, stage)["embedding"] for stage in (0, 1))
    assert both == 2 * one


def test_layers_are_added_once() -> None:
    drafting = architecture(R1).with_drafts(NOW)
    assert drafting.with_drafts(NOW) == drafting
    assert (drafting.depth, len(drafting.layers)) == (61, 62)


@pytest.mark.parametrize(("model", "streams"), [(R1, 1), (V4, 4)])
def test_drafts_keep_the_states_of_a_step(model: str, streams: int) -> None:
    without, with_it = (predicted(model, tokens, Layout(8)).ranks[0].non_torch.expected for tokens in (0, 1))
    masks = 1024 * architecture(model).vocabulary / 8 / GIB
    states = 8192 * architecture(model).hidden * 2 * streams / GIB
    assert with_it - without == pytest.approx(states + masks)


@pytest.mark.parametrize(("model", "alive"), [(R1, 4), ("zai-org--GLM-5.3", 3)])
def test_states_stay_alive_while_a_layer_drafts(model: str, alive: int) -> None:
    options = {"requests": 256, "version": "0.33.0"}
    plain, drafting = (predicted(model, drafted, Layout(8), **options).ranks[0].activation for drafted in (0, 1))
    state = 8192 * architecture(model).hidden * 2 / GIB
    assert drafting.expected - plain.expected == pytest.approx(alive * state)


def test_request_has_slots_for_the_tokens_that_it_drafts() -> None:
    """A block has 16 tokens, so a request of 16 needs a second one; the longest request has none beyond its length."""
    plain, drafting = predicted(R1, 0, max_model_len=4096), predicted(R1, 1, max_model_len=4096)
    blocks = min(rank.blocks.expected for rank in drafting.ranks)
    assert drafting.requests_of(16).expected == pytest.approx(blocks / 2)
    assert drafting.requests_of(15).expected == pytest.approx(blocks)
    assert drafting.requests_of(4096).expected == pytest.approx(drafting.concurrency.expected)
    assert plain.requests_of(16).expected == pytest.approx(min(rank.blocks.expected for rank in plain.ranks))


@pytest.mark.parametrize(
    ("model", "version", "words"),
    [
        (R1, "0.32.0", ""),
        (R1, "0.33.0", ""),
        (R1, "0.26.0", "does not start multi-token prediction with pipeline stages"),
        (NEMOTRON, "0.32.0", ""),
        (NEMOTRON, "0.33.0", "need the embedding"),
        (INKLING, "0.32.0", "need the embedding"),
    ],
)
def test_stages_are_refused_beside_drafts_by_version(model: str, version: str, words: str) -> None:
    major, minor, _ = version.split(".")
    drafting = architecture(model).with_drafts((int(major), int(minor)))
    for layout, wanted in ((Layout(4, 2), words), (Layout(4), "")):
        found = refusal(drafting, layout, Cluster(1, layout.gpus, "nvlink"))
        assert bool(found) == bool(wanted)
        assert wanted in (found.text if found else "")
