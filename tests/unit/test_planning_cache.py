"""The blocks of the KV cache by kind of attention, by vLLM's source and by starts."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unit.planning_data.table import GIB, HERE, Point, architecture, question_of
from vmn.core.planning.blocks.states import LinearAttention
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.kv_cache import KVCache, kv_cache
from vmn.core.planning.model.architecture import Architecture
from vmn.core.planning.prediction import predict
from vmn.core.planning.vllm.model_runner import on_second_runner
from vmn.core.planning.vllm.versions import behaviour

TOKENS = 8192
"""Tokens of a step."""
ONE = Layout()
GEMMA = architecture("google--gemma-3-27b-it")
GPT_OSS = architecture("openai--gpt-oss-120b")
LLAMA_4 = architecture("meta-llama--Llama-4-Maverick-17B-128E-Instruct")
QWEN_NEXT = architecture("Qwen--Qwen3-Next-80B-A3B-Instruct")
SPARSE = architecture("deepseek-ai--DeepSeek-V3.2")
R1 = architecture("deepseek-ai--DeepSeek-R1")
NEMOTRON = architecture("nvidia--NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16")


def cache(model: Architecture, dtype: str = "auto", version: str = "0.26.0", layout: Layout = ONE) -> KVCache:
    return kv_cache(model, layout, dtype, TOKENS, behaviour(version))


@pytest.mark.parametrize(
    "case",
    json.loads((HERE / "vllm_blocks.json").read_text(encoding="utf-8")),
    ids=lambda case: f"{case['model']} {case['kv_dtype']} {case['layout']}",
)
def test_blocks_and_tokens_are_those_of_vllm_s_own_code(case: dict[str, Any]) -> None:
    model, layout = architecture(case["model"]), Layout(**case["layout"])
    found = cache(model, case["kv_dtype"], "0.32.0", layout)
    bounds = model.stages(layout.pipeline)
    blocks = min(gib * GIB // found.block_bytes(*some) for gib, some in zip(case["gib"], bounds, strict=True))
    tokens = int(blocks / found.request_blocks(case["length"]) * case["length"])
    assert (blocks, tokens, len(found.groups)) == (case["blocks"], case["tokens"], case["groups"])


@pytest.mark.parametrize(("dtype", "block"), [("auto", 544), ("fp8", 1072)])
def test_hybrid_block_is_as_large_as_a_state(dtype: str, block: int) -> None:
    assert cache(QWEN_NEXT, dtype).block == block  # start-ups of 0.26


@pytest.mark.parametrize(
    ("model", "version", "block"),
    [
        (QWEN_NEXT, "0.32.0", 544),
        (QWEN_NEXT, "0.33.0", 576),  # its kernels export states every 64 tokens
        (NEMOTRON, "0.33.0", 8304),  # those of Mamba-2 export none
    ],
    ids=["Qwen3-Next, 0.32", "Qwen3-Next, 0.33", "Nemotron-3 Ultra, 0.33"],
)
def test_hybrid_block_ends_where_states_can_be_exported(model: Architecture, version: str, block: int) -> None:
    assert cache(model, version=version).block == block  # as in start-ups of 0.33


@pytest.mark.parametrize(("gpu", "block", "states"), [("h200", 320, 3), ("a100-80gb", 272, 2)])
def test_states_are_exported_only_where_flashinfer_runs_them(gpu: str, block: int, states: int) -> None:
    found = Point("", "", "", QWEN_NEXT, question_of(QWEN_NEXT, gpu, Layout(4), version="0.33.0"), Layout(4), {}).cache
    assert found.block == block
    assert {group.spec.states for group in found.groups} == {0, states}


def test_states_are_not_exported_without_prefix_caching() -> None:
    context = question_of(QWEN_NEXT, "h200", Layout(4), version="0.33.0", prefix_caching=False)
    assert Point("", "", "", QWEN_NEXT, context, Layout(4), {}).cache.block == 272


@pytest.mark.parametrize(("version", "states"), [("0.26.0", 1), ("0.32.0", 2)])
def test_hybrid_request_takes_a_state_and_one_more_with_prefix_caching(version: str, states: int) -> None:
    found = cache(QWEN_NEXT, version=version)
    groups = sum(bool(group.spec.states) for group in found.groups)
    assert groups == 3  # 36 of 48 layers keep a state, in groups as large as the 12 with a cache
    assert found.request_blocks(544 * 100) == 100 + 3 * states


@pytest.mark.parametrize(("caching", "blocks"), [(None, 1), (False, 1), (True, 2)])
def test_prefix_caching_can_be_asked_for(caching: bool | None, blocks: int) -> None:
    context = question_of(QWEN_NEXT, "h200", Layout(2), version="0.26.0", prefix_caching=caching)
    assert context.vllm.state_blocks == blocks


def test_recurrent_state_of_qwen3_5_has_32_bits() -> None:
    layers = architecture("Qwen--Qwen3.5-27B").layers
    assert {layer.attention.recurrent_bytes for layer in layers if isinstance(layer.attention, LinearAttention)} == {4}


def test_windows_make_groups_as_large_as_the_rarest_kind() -> None:
    found = cache(GEMMA)
    sizes = [len(group.pages) for group in found.groups]
    assert (sum(sizes), max(sizes), len(sizes)) == (62, 10, 7)  # 52 with a window in six groups, padded to 10
    assert found.block_bytes(0, 62) == 10 * found.page


@pytest.mark.parametrize("length", [4096, 131_072])
def test_window_keeps_its_own_tokens_and_those_in_flight(length: int) -> None:
    found = cache(GPT_OSS)
    windowed = math.ceil(min(128 - 1 + 2 * TOKENS, length) / 16) + 1
    assert found.request_blocks(length) == math.ceil(length / 16) + windowed


@pytest.mark.parametrize(
    ("version", "layout", "batches"),
    [
        ("0.10.0", ONE, 1),
        ("0.26.0", ONE, 2),
        ("0.26.0", Layout(1, 4), 4),  # mixtures of experts are on the first runner
        ("0.32.0", Layout(1, 4), 5),  # max_concurrent_batches
    ],
)
def test_batches_in_flight(version: str, layout: Layout, batches: int) -> None:
    assert cache(GPT_OSS, version=version, layout=layout).in_flight == batches * TOKENS


def test_chunks_keep_their_tokens_and_those_in_flight() -> None:
    found = cache(LLAMA_4)
    chunked = [group for group in found.groups if group.spec.is_local]
    assert (len(chunked), len(found.groups)) == (3, 4)
    assert found.request_blocks(1_048_576) == 1_048_576 // 16 + 3 * math.ceil((8192 + 2 * TOKENS) / 16)


@pytest.mark.parametrize(("dtype", "token"), [("auto", 1152 + 132), ("fp8", 656 + 132)])
def test_sparse_attention_adds_the_indexer_s_key(dtype: str, token: int) -> None:
    found = cache(SPARSE, dtype)
    assert (found.block, found.block_bytes(0, 61) // 61 // 64) == (64, token)


def test_layers_that_share_an_indexer_have_no_key_for_it() -> None:
    model = architecture("zai-org--GLM-5.3")
    indexers = sum(bool(getattr(layer.attention, "index_heads", 0)) for layer in model.layers)
    found = cache(model, "fp8")
    assert 0 < indexers < len(model.layers)
    assert found.block_bytes(0, len(model.layers)) // found.block == 656 * len(model.layers) + 132 * indexers


def test_decode_context_shares_a_request_s_tokens() -> None:
    one, shared = cache(R1, layout=Layout(8)), cache(R1, layout=Layout(8, decode_context=8))
    assert one.request_blocks(131_072) == 8 * shared.request_blocks(131_072)
    assert one.block_bytes(0, 61) == shared.block_bytes(0, 61)


@given(st.integers(1, 60), st.integers(0, 200_000))
def test_longest_request_is_the_longest(stages: int, blocks: int) -> None:
    found = cache(R1, layout=Layout(1, min(stages, 61)))
    longest = found.longest_request(blocks, 163_840)
    assert found.request_blocks(longest) <= blocks or not longest
    assert longest == 163_840 or found.request_blocks(longest + 1) > blocks


@pytest.mark.parametrize("model", [R1, SPARSE, GEMMA, GPT_OSS, LLAMA_4, QWEN_NEXT], ids=lambda model: model.kind)
@pytest.mark.parametrize("version", ["0.26.0", "0.32.0"])
def test_fp8_never_holds_fewer_tokens(model: Architecture, version: str) -> None:
    layout = Layout(8)
    plain, small = (
        predict(question_of(model, "h200", layout, version=version, kv_dtype=dtype), layout)
        for dtype in ("auto", "fp8")
    )
    assert small.tokens.low >= plain.tokens.low
    assert small.tokens.expected >= plain.tokens.expected


@pytest.mark.parametrize("model", [R1, GEMMA, GPT_OSS, QWEN_NEXT], ids=lambda model: model.kind)
def test_ledger_adds_up_to_the_budget(model: Architecture) -> None:
    layout = Layout(4, 2)
    context = question_of(model, "h200", layout)
    for rank in predict(context, layout).ranks:
        parts = rank.weights_gib + rank.activation.expected + rank.non_torch.expected + rank.graphs.expected
        assert parts + rank.available.expected == pytest.approx(context.budget)
        assert rank.available.low <= rank.available.expected <= rank.available.high


def test_buffers_of_sparse_attention_are_among_the_weights() -> None:
    layout = Layout(8)
    ranks = [
        predict(question_of(SPARSE, "h200", layout, version="0.26.0", kv_dtype=dtype), layout).ranks[0]
        for dtype in ("auto", "fp8")
    ]
    length, tokens, heads = 163_840, 8192, 128 // 8
    wanted = (5 * length * 576 + tokens * heads * 576) * 2 / GIB
    assert ranks[1].weights["buffers"] - ranks[0].weights["buffers"] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("version", "model", "second"),
    [
        ("0.19.0", "llama8b", False),
        ("0.23.0", "llama8b", True),
        ("0.26.0", "llama8b", True),  # the log of llama405b-8L says so
        ("0.26.0", "dsr1-8L", False),  # the log of dsr1-32L
        ("0.26.0", "deepseek-ai--DeepSeek-V2-Lite", True),
        ("0.26.0", "Qwen--Qwen3-Next-80B-A3B-Instruct", False),
        ("0.32.0", "dsr1-8L", True),
    ],
)
def test_runner_is_the_one_that_vllm_takes(version: str, model: str, second: bool) -> None:
    assert on_second_runner(architecture(model), behaviour(version)) is second
