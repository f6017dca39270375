"""The models of 2026 with a file of their own: parameters, caches, and what vLLM refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from unit.planning_data.table import architecture, configuration
from vmn.core.planning.blocks.block import WeightShare
from vmn.core.planning.blocks.ngrams import LayerEmbedding
from vmn.core.planning.gpus import find_gpu
from vmn.core.planning.layout.constraints import Cluster, refusals
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import GIB, Batch, RankContext, fixed_buffers, peak_activation
from vmn.core.planning.memory.allocator import Storage
from vmn.core.planning.memory.kv_cache import KVCache, kv_cache
from vmn.core.planning.memory.weights import stage_weights
from vmn.core.planning.model.architecture import Architecture, ConfigError
from vmn.core.planning.model.config_json import read_architecture
from vmn.core.planning.prediction import Rank, VllmOptions, plan_context, predict
from vmn.core.planning.vllm.versions import behaviour

TODAY = behaviour("0.33.0")
HOPPER, BLACKWELL = 9, 10
V4, V4_PRO = "deepseek-ai--DeepSeek-V4-Flash", "deepseek-ai--DeepSeek-V4-Pro"
V41 = "deepseek-ai--DeepSeek-V4.1-Flash"
GLM_FLASH = "zai-org--GLM-5.3-Flash"
GLM_DSA = "zai-org--GLM-5.2"
HY4 = "tencent--Hy4-preview"
QWEN_FLASH = "Qwen--Qwen3.8-Flash-Next"
INKLING = "thinkingmachines--Inkling"
LONGCAT = "meituan-longcat--LongCat-Flash-Chat"
LING = "inclusionAI--Ling-3.0-flash"
NAMED = {
    # Parameters that the makers name, in 10^9, without layers for multi-token prediction. Tables of n-grams count.
    V4: 284,
    V4_PRO: 1573,
    V41: 552 + 196.6,
    HY4: 770,
    QWEN_FLASH: 176,
    LONGCAT: 560.5,
    LING: 124.4,
    "tencent--Hy3": 295,
    "arcee-ai--Trinity-Large-Thinking": 398.6,
    "mistralai--Mistral-Large-3-675B-Instruct-2512": 675,
    "mistralai--Mistral-Small-4-119B-2603": 119,
    "nvidia--NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16": 550,
    "moonshotai--Kimi-K3": 2780,
}


ALONE = Layout()


def one_rank(model: Architecture, layout: Layout = ALONE, stage: int = 0) -> Rank:
    """Return what a rank holds on H200, with 8,192 tokens a step."""
    options = VllmOptions(batched_tokens=8192, requests=1024, max_model_len=65_536, eager=True, version="0.33.0")
    context = plan_context(model, find_gpu("h200"), Cluster(1, layout.gpus, "nvlink"), options)
    return predict(context, layout).ranks[stage]


def unquantized(name: str) -> Architecture:
    config = dict(configuration(name))
    config.pop("quantization_config", None)
    if "text_config" in config:
        config["text_config"] = {key: value for key, value in config["text_config"].items() if "quant" not in key}
    return read_architecture(config)


def changed(name: str, **change: Any) -> dict[str, Any]:
    config = dict(configuration(name))
    if "text_config" in config:
        return {**config, "text_config": {**config["text_config"], **change}}
    return {**config, **change}


def cache(name: str, tensor: int = 1, capability: int = HOPPER, dtype: str = "auto", tokens: int = 8192) -> KVCache:
    return kv_cache(architecture(name), Layout(tensor), dtype, tokens, TODAY, capability)


def rank(name: str, layers: int = 0, requests: int = 1024, length: int = 65_536, drafted: int = 0) -> RankContext:
    model = architecture(name)
    model = replace(model, layers=model.layers[: layers or None])
    batch = Batch(8192, requests, length, eager=True, drafted=drafted)
    return RankContext(model, Layout(), batch, TODAY, 0, False, False, HOPPER)


def buffers(name: str, layers: int, drafted: int = 0) -> float:
    return fixed_buffers(rank(name, layers, drafted=drafted)) * GIB


@pytest.mark.parametrize(("name", "named"), NAMED.items())
def test_parameters_are_those_that_the_maker_names(name: str, named: float) -> None:
    model = unquantized(name)
    weights = stage_weights(model, Layout(), 0)
    counted = sum(size for part, size in weights.items() if part not in ("copies", "rounding")) / 2
    tables = sum(table.size / (33 / 32 if name == V41 else 2) for table in model.tables if table.in_host)
    assert (counted + tables) / 1e9 == pytest.approx(named, rel=0.01)


def test_groups_of_v4_are_the_windows_rows_and_what_is_being_compressed() -> None:
    found = cache(V4)
    assert sorted(group.spec.block for group in found.groups) == [4, 8, 64, 64, 256]  # as a start of 0.33 logged
    rows = next(group for group in found.groups if group.spec.kind == "full")
    assert rows.block_bytes(0, 43) == 21 * (37_440 + 8_640) + 20 * 1_728  # pages are multiples of 576 bytes


def test_concurrency_of_v4_is_that_of_a_published_start() -> None:
    # 8 B200 with DP8, 0.95 of the memory, 8,192 tokens per step on one batch in flight (0.25): 19.6 requests a rank.
    blocks = 139.5 * 2**30 // cache(V4, tokens=4096).block_bytes(0, 43)
    assert blocks / cache(V4, tokens=4096).request_blocks(1_048_576) == pytest.approx(19.6, rel=0.03)


def test_every_rank_of_v4_has_all_rows() -> None:
    assert cache(V4, 8).block_bytes(0, 43) == cache(V4, 1).block_bytes(0, 43)


def test_four_layers_of_v4_1_own_rows_for_all() -> None:
    for capability, tensor, tokens, row in ((HOPPER, 1, 64, 584), (BLACKWELL, 8, 128, 288), (BLACKWELL, 16, 128, 528)):
        found = cache(V41, tensor, capability)
        rows = next(group for group in found.groups if group.spec.kind == "full")
        assert (found.block, len({layer for layer, _ in rows.pages})) == (tokens, 4)
        assert sum(page for _, page in rows.pages) / tokens == pytest.approx(2.5 * (row + 132), rel=0.03)
        assert sum(len(group.pages) for group in found.groups if group.spec.kind == "window") == 40


def test_records_of_v4_1_lie_in_whole_rows_of_both_kinds_on_blackwell() -> None:
    assert cache(V41, 8, BLACKWELL).multiple == 3168  # 528 bytes in the window, 288 behind it


def test_scales_of_v4_1_are_repeated_for_each_row() -> None:
    model = architecture(V41)
    plain, hopper, blackwell = (
        stage_weights(model, Layout(), 0, storage=storage)
        for storage in (Storage(), Storage(rounded=True, widens_mxfp8=True), Storage(rounded=True))
    )
    assert "copies" not in plain
    scales = 1 / 32 - 1 / 32**2  # a byte for 32 columns of each row, instead of one for 32 of both
    linear = plain["attention"] + plain["feed-forward"]
    assert blackwell["copies"] == pytest.approx(linear * scales, rel=0.07)  # compressors have 16 bits
    outputs = 40 * 64 * 512 * 1024  # the projections of groups, which have no kernel in 8 bits
    assert hopper["copies"] - blackwell["copies"] == pytest.approx(outputs)


def test_buffers_of_v4_1_are_rows_candidates_and_n_grams() -> None:
    rank = one_rank(architecture(V41))
    mib = {"picked rows": 16, "candidates": 64, "rows of two tables": 2 * 96}
    assert rank.weights["buffers"] * 1024 == sum(mib.values())


@pytest.mark.parametrize(
    ("name", "stage", "tables"), [(V4, 0, 2), (V4, 1, 1), (V4_PRO, 0, 1), (V41, 0, 2), (V41, 1, 1)]
)
def test_stage_has_the_tables_of_positions_of_its_layers(name: str, stage: int, tables: int) -> None:
    assert one_rank(architecture(name), Layout(4, 2), stage).weights["positions"] == tables / 4


def test_replayed_layers_of_v4_1_hold_the_inputs_of_the_first() -> None:
    model = architecture(V41)
    whole, other = (one_rank(one).activation.expected for one in (model, replace(model, replayed_from=None)))
    states = 5 * 8192 * 5120 * 2
    scores = 8192 * 2 * 512 * 4  # of a compressor, which no layer behind the last one has
    assert (whole - other) * 2**30 == pytest.approx(states - scores)


STEP5 = {
    "model_type": "step5",
    "hidden_size": 4096,
    "intermediate_size": 13_824,
    "num_hidden_layers": 8,
    "num_attention_heads": 64,
    "num_attention_groups": 4,
    "head_dim": 192,
    "vocab_size": 128_896,
    "max_position_embeddings": 1_048_576,
    "moe_num_experts": 352,
    "moe_top_k": 8,
    "moe_intermediate_size": 1536,
    "share_expert_dim": 1536,
    "moe_layers_enum": "3,4,5,6,7",
    "layer_types": [*["sliding_attention"] * 3, "full_attention"] * 2,
    "sliding_window": 512,
    "use_moe_router_bias": True,
    "sparse_config": {},
}
"""A model with the fields that vLLM's code reads, cut to eight layers."""


def test_blocks_of_step_5_lie_apart_by_whole_pages_of_eight_tokens() -> None:
    found = kv_cache(read_architecture(STEP5), Layout(), "auto", 8192, TODAY, HOPPER)
    page = 8 * 4 * (192 + 192) * 2
    assert [group.spec.block for group in found.groups] == [16] * 5  # as a start of 0.33 logged
    assert found.multiple == page
    assert found.block_bytes(0, 8) == 5 * page  # two layers with 4 pages of keys and values, and two summaries each


def test_indexer_of_step_5_is_split_up_to_its_groups() -> None:
    layer = read_architecture(STEP5).layers[3]
    for tensor, heads in ((1, 16), (2, 8), (4, 4), (8, 4)):
        share = WeightShare(4096, Layout(tensor), Storage())
        rows = next(one for one in layer.blocks[0].matrices(share) if one.module.endswith("index_q_proj")).elements
        assert rows == 4096 * (heads + 2) * 256


def test_step_5_without_a_sparse_part_has_no_indexer() -> None:
    model = read_architecture({**STEP5, "sparse_config": {"enabled": False}})
    assert all(block.positions is None for block in model.blocks)
    assert {block.positions for block in read_architecture(STEP5).blocks} == {None, ("index", 64)}


def test_tables_of_v4_1_are_in_the_memory_of_the_host() -> None:
    model = architecture(V41)
    assert all(table.in_host for table in model.tables)
    assert sum(table.size for table in model.tables) / 2**30 == pytest.approx(183.1 * 33 / 32, rel=0.005)
    assert "tables" not in stage_weights(model, Layout(8), 0)


def test_tables_of_qwen_are_in_the_memory_of_the_host() -> None:
    model = architecture(QWEN_FLASH)
    assert all(table.in_host for table in model.tables)
    assert sum(table.size for table in model.tables) / 1e9 == pytest.approx(102.4, rel=0.001)
    assert "tables" not in stage_weights(model, Layout(), 0)


def test_lookups_of_qwen_are_counted_from_one() -> None:
    layers = architecture(QWEN_FLASH).layers  # ``ple_layer_ids`` is [2], and a start of 0.33 names ``layers.1.ple``
    assert [index for index, layer in enumerate(layers) if isinstance(layer.blocks[0], LayerEmbedding)] == [1]


def test_each_sparse_layer_of_qwen_keeps_its_picked_tokens() -> None:
    rows = 8192 * (2048 + 4) * 4
    assert buffers(QWEN_FLASH, layers=12) - buffers(QWEN_FLASH, layers=8) == pytest.approx(rows)


def test_blocks_of_glm_5_3_flash_are_those_of_a_public_log() -> None:
    found = cache(GLM_FLASH, 4)
    assert found.block == 1152  # 1,085,440 bytes of state over 1,024 a token, up to 128 tokens
    assert sum(len(group.pages) for group in found.groups) == 67  # 34 of states, 11 of rows, of keys, and of tails


@pytest.mark.parametrize(("dtype", "capability", "row"), [("auto", HOPPER, 1024), ("fp8", HOPPER, 656)])
def test_rows_of_glm_5_3_flash_follow_the_gpu(dtype: str, capability: int, row: int) -> None:
    found = cache(GLM_FLASH, 4, capability, dtype)
    assert any(page == found.block * row for group in found.groups for _, page in group.pages)


def test_glm_5_3_flash_has_an_fp8_cache_on_blackwell_by_default() -> None:
    assert cache(GLM_FLASH, 4, BLACKWELL) == cache(GLM_FLASH, 4, BLACKWELL, "fp8")
    assert cache(GLM_FLASH, 4, BLACKWELL) != cache(GLM_FLASH, 4, BLACKWELL, "bfloat16")


def test_layers_of_hunyuan_share_picked_tokens() -> None:
    found = cache(HY4, 8)
    assert found.block_bytes(0, 78) == 64 * (78 * 1152 + 21 * 132)


def test_each_layer_of_hunyuan_keeps_where_picked_tokens_are() -> None:
    rows = 8193 * 2048 * 4
    assert buffers(HY4, layers=4) - buffers(HY4, layers=3) == rows  # the fourth takes the tokens of the second
    assert buffers(HY4, layers=2) - buffers(HY4, layers=1) == rows


def test_layers_of_glm_keep_it_for_decoding_and_in_groups() -> None:
    rows, drafted = (1024 + 1) * 2048 * 4, (2048 + 1) * 2048 * 4
    assert buffers(GLM_DSA, layers=3) - buffers(GLM_DSA, layers=2) == rows
    assert buffers(GLM_DSA, layers=4) == buffers(GLM_DSA, layers=3)  # takes the tokens of the third
    assert buffers(GLM_DSA, layers=3, drafted=1) - buffers(GLM_DSA, layers=2, drafted=1) == drafted


def test_streams_of_hunyuan_are_merged_in_32_bits_at_its_end() -> None:
    small = rank(HY4, layers=1, requests=1, length=1024)  # with few decompressed tokens, so that the end is the peak
    assert peak_activation(small).expected == pytest.approx(20 * small.states_gib, rel=0.001)


def test_layers_of_longcat_hold_what_experts_get_and_return() -> None:
    model = architecture(LONGCAT)
    without = replace(rank(LONGCAT), model=replace(model, states=0.0))
    more = peak_activation(rank(LONGCAT)).expected - peak_activation(without).expected
    assert more == pytest.approx(2 * without.states_gib)


def test_shared_experts_of_ling_have_a_width_of_their_own() -> None:
    wide, narrow = (
        read_architecture(changed(LING, moe_shared_expert_intermediate_size=width)).experts for width in (2048, 1024)
    )
    assert wide
    assert narrow
    assert wide.shared == 2 * narrow.shared


def test_convolutions_of_inkling_are_windows_of_four_tokens() -> None:
    found = cache(INKLING, 8)
    convolutions = [group for group in found.groups if group.spec.reach == 4]
    assert sum(len(group.pages) for group in convolutions) == 66
    assert len({page for group in found.groups for _, page in group.pages}) == 1


def test_embedding_of_inkling_is_on_each_rank() -> None:
    model = architecture(INKLING)
    assert stage_weights(model, Layout(8), 0)["embedding"] == stage_weights(model, Layout(), 0)["embedding"]


def test_layers_of_longcat_have_two_caches() -> None:
    assert cache(LONGCAT, 8).block_bytes(0, 28) == 16 * 56 * 1152


def test_ling_keeps_states_in_five_of_six_layers() -> None:
    found = cache(LING)
    assert sum(len(group.pages) for group in found.groups if group.spec.states) == 35
    assert sum(len(group.pages) for group in found.groups if not group.spec.states) == 7


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (V4, {"compress_ratios": [0, 16] + [4] * 41}, "Unsupported DeepseekV4 compress_ratio=16"),
        (V4, {"compress_ratios": [4] * 20}, "20 entries for 43 layers"),
        (HY4, {"indexer_types": ["full"] * 3}, "indexer_types must contain one entry per hidden layer: expected 78"),
        (HY4, {"indexer_types": ["half"] * 78}, "indexer_types only supports 'full' and 'shared', got half"),
        (HY4, {"gating_type": "rowwise"}, "Unknown gating type: rowwise"),
        (QWEN_FLASH, {"hc_count": 1}, "Qwen4Exp requires hc_count > 1"),
        (QWEN_FLASH, {"layer_types": ["window"] * 48}, "layer_types has window"),
        (LING, {"no_kda_lora": False}, "BailingMoeV3 KDA currently expects no_kda_lora=True"),
        (GLM_FLASH, {"layer_types": ["full_attention"] * 45}, "layer_types has full_attention"),
    ],
)
def test_what_vllm_refuses_is_refused_with_its_words(name: str, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        read_architecture(changed(name, **change))


def test_missing_field_of_a_family_is_named() -> None:
    config = {key: value for key, value in configuration(V4).items() if key != "o_groups"}
    with pytest.raises(ConfigError, match="o_groups is missing"):
        read_architecture(config)


@pytest.mark.parametrize(
    ("name", "gpu", "layout", "words"),
    [
        (QWEN_FLASH, "h200", Layout(2, 2), "requires pipeline_parallel_size=1"),
        (V4, "a100", Layout(4), "No valid attention backend found"),
        (V4, "h200", Layout(4), ""),
        (V41, "h200", Layout(1, 4), "PP splits inside a v4.1 kv-sharing group are not supported"),
        (V41, "h200", Layout(2, 2), ""),
        (QWEN_FLASH, "h200", Layout(4), ""),
    ],
)
def test_layouts_that_vllm_refuses_for_these_models(name: str, gpu: str, layout: Layout, words: str) -> None:
    found = [refusal.vllm for refusal in refusals(architecture(name), layout, Cluster(1, 4, "nvlink"), find_gpu(gpu))]
    assert any(words in text for text in found) if words else found == []


def test_ranks_can_t_share_heads_of_inkling() -> None:
    refused = [rule.vllm for rule in refusals(architecture(INKLING), Layout(16), Cluster(2, 8, "nvlink"))]
    assert refused == ["sconv SWA cache supports tp_size <= num_kv_heads (8)"]


@pytest.mark.parametrize(
    ("name", "dtype", "words"),
    [
        (V4, "bfloat16", "DeepseekV4 fp8_ds_mla layout only supports fp8 kv-cache, got bfloat16"),
        (V41, "bfloat16", "DeepseekV4 packed KV layouts only support fp8 kv-cache, got bfloat16"),
        (V4, "fp8", ""),
        (V41, "auto", ""),
        (GLM_FLASH, "bfloat16", ""),
    ],
)
def test_types_of_the_cache_that_vllm_refuses(name: str, dtype: str, words: str) -> None:
    model, cluster = architecture(name), Cluster(1, 4, "nvlink")
    found = [refusal.vllm for refusal in refusals(model, Layout(4), cluster, find_gpu("h200"), dtype)]
    assert found == [] if not words else any(words in text for text in found)


LAGUNA = {
    "model_type": "laguna",
    "hidden_size": 2048,
    "vocab_size": 100_352,
    "num_hidden_layers": 4,
    "num_attention_heads": 32,
    "num_attention_heads_per_layer": [32, 64, 64, 32],
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 8192,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "num_experts": 64,
    "num_experts_per_tok": 8,
    "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
    "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
    "sliding_window": 512,
    "gating": "per-head",
    "max_position_embeddings": 131_072,
}
"""A small model with the fields that vLLM's code reads."""
HORIZON = {
    "model_type": "k2_horizon",
    "hidden_size": 2560,
    "vocab_size": 250_624,
    "num_hidden_layers": 6,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 8192,
    "moe_intermediate_size": 1024,
    "num_experts": 100,
    "num_experts_per_tok": 8,
    "num_shared_experts": 1,
    "mova_num_experts": 64,
    "mlp_only_layers": [0, 1, 2],
    "query_key_norm": True,
    "attention_gate_func": "sigmoid",
    "max_position_embeddings": 131_072,
}
"""The same."""


def attention_bytes(config: dict[str, Any]) -> float:
    return stage_weights(read_architecture(config), Layout(), 0)["attention"]


def test_layers_of_laguna_differ_in_their_query_heads() -> None:
    heads = {layer.attention.split_heads for layer in read_architecture(LAGUNA).layers if layer.attention}
    assert heads == {32, 64}
    for gating, gates in (("per-head", 192), ("per-element", 192 * 128), (None, 0)):
        more = attention_bytes({**LAGUNA, "gating": gating}) - attention_bytes({**LAGUNA, "gating": None})
        assert more == gates * 2048 * 2


def test_cache_of_laguna_has_windows() -> None:
    found = kv_cache(read_architecture(LAGUNA), Layout(), "auto", 8192, TODAY, HOPPER)
    assert sorted(group.spec.kind for group in found.groups) == ["full", "window"]


def test_values_of_k2_horizon_have_experts_but_one_cache() -> None:
    without = {**HORIZON, "mova_num_experts": 0}
    assert attention_bytes(HORIZON) - attention_bytes(without) == 3 * 63 * 2560 * 8 * 128 * 2
    caches = [kv_cache(read_architecture(one), Layout(), "auto", 8192, TODAY, HOPPER) for one in (HORIZON, without)]
    assert caches[0] == caches[1]


def test_windows_by_layer_are_read() -> None:
    config = {**LAGUNA, "model_type": "exaone_moe", "sliding_windows": [None, 128, 4096, None]}
    windows = [getattr(layer.attention, "window", 0) for layer in read_architecture(config).layers]
    assert windows == [None, 128, 4096, None]
