"""How a checkpoint's configuration becomes the format of each module, and what groups and kernels rule out."""

from __future__ import annotations

from typing import Any

import pytest

from unit.planning_data.table import GIB, architecture, configuration
from vmn.core.planning.gpus import find_gpu
from vmn.core.planning.layout.constraints import Cluster, refusals
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.weights import stage_weights
from vmn.core.planning.model.architecture import ConfigError
from vmn.core.planning.model.config_json import WRAPPED, read_architecture
from vmn.core.planning.model.module_names import format_of, head_format, module_names
from vmn.core.planning.model.quantization.fields import quantization_fields
from vmn.core.planning.model.quantization.format import Format, Quantization
from vmn.core.planning.model.quantization.methods import read_quantization

LLAMA = configuration("llama8b")
QUERY, EXPERT, DOWN = "self_attn.q_proj", "mlp.experts.0.gate_proj", "mlp.down_proj"
FP8_GROUP = {"weights": {"num_bits": 8, "type": "float"}, "targets": ["re:.*self_attn.*"]}
INT4_GROUP = {"weights": {"num_bits": 4, "type": "int", "group_size": 32}, "targets": ["Linear"]}


def read(**fields: Any) -> Quantization:
    found = read_quantization(fields)
    assert found is not None
    return found


def bits(found: Quantization, module: str, layer: int = 0) -> float:
    """Return the bits of a weight without its scale."""
    form = format_of(found, module_names(module, layer, WRAPPED), is_expert=".experts." in module)
    return form.weight_bytes * 8 if form else 16


@pytest.mark.parametrize(
    "skip",
    [
        "model.layers.0.self_attn*",
        "model.language_model.layers.0.self_attn*",
        "language_model.model.layers.0.self_attn.q_proj",
        "language_model.layers.0.self_attn.qkv_proj",
        "re:.*layers\\.0\\.self_attn.*",
        "model.layers.0",
    ],
)
@pytest.mark.parametrize(
    ("method", "key"), [("fp8", "ignored_layers"), ("modelopt", "exclude_modules"), ("compressed-tensors", "ignore")]
)
def test_ignored_modules_are_found_under_each_wrapper(skip: str, method: str, key: str) -> None:
    groups = {"config_groups": {"group_0": FP8_GROUP | {"targets": ["Linear"]}}} if method.startswith("comp") else {}
    found = read(quant_method=method, quant_algo="FP8", **{key: [skip]}, **groups)
    assert (bits(found, QUERY), bits(found, QUERY, 1)) == (16, 8)


def test_part_of_a_name_is_ignored_by_awq() -> None:
    found = read(quant_method="awq", bits=4, modules_to_not_convert=["attn"])
    assert (bits(found, QUERY), bits(found, DOWN)) == (16, 4)


def test_groups_of_compressed_tensors_have_their_own_bits() -> None:
    found = read(quant_method="compressed-tensors", config_groups={"a": FP8_GROUP, "b": INT4_GROUP})
    assert (bits(found, QUERY), bits(found, DOWN), bits(found, EXPERT)) == (8, 4, 4)


def test_modules_without_a_group_are_not_quantized() -> None:
    found = read(quant_method="compressed-tensors", config_groups={"a": FP8_GROUP})
    assert (bits(found, QUERY), bits(found, DOWN)) == (8, 16)


@pytest.mark.parametrize(
    ("size", "name", "scale"), [(16, "nvfp4", 1 / 16), (32, "mxfp4", 1 / 32), (None, "nvfp4", 1 / 16)]
)
def test_floats_of_4_bits_are_told_apart_by_their_group(size: int | None, name: str, scale: float) -> None:
    weights = {"num_bits": 4, "type": "float", "group_size": size}
    found = read(quant_method="compressed-tensors", config_groups={"a": {"weights": weights, "targets": ["Linear"]}})
    assert (found.format.name, found.format.scale_bytes) == (name, scale)


def test_compression_config_is_read_as_well() -> None:
    fields = quantization_fields({"compression_config": {"config_groups": {"b": INT4_GROUP}}})
    assert fields is not None
    assert bits(read(**fields), DOWN) == 4


def test_mixed_precision_has_a_format_for_each_module() -> None:
    layers = {
        "model.language_model.layers.0.mlp.experts": {"quant_algo": "W4A16_NVFP4", "group_size": 16},
        "model.language_model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"},
        "lm_head": {"quant_algo": "NVFP4", "group_size": 16},
    }
    found = read(quant_method="modelopt", quant_algo="MIXED_PRECISION", quantized_layers=layers)
    assert (bits(found, EXPERT), bits(found, QUERY), bits(found, DOWN)) == (4, 8, 16)
    assert head_format(found) == Format("nvfp4", 0.5, 1 / 16, group=16)


def test_mixed_precision_without_formats_is_refused() -> None:
    with pytest.raises(ConfigError, match="MIXED_PRECISION"):
        read(quant_method="modelopt", quant_algo="MIXED_PRECISION")


def test_dynamic_rules_of_gptq_change_or_forbid_bits() -> None:
    dynamic = {"-:.*attn.*": {}, "+:.*\\.0\\.mlp\\.down.*": {"bits": 8, "group_size": 64}, "lm_head": {}}
    found = read(quant_method="gptq", bits=4, group_size=128, dynamic=dynamic)
    assert (bits(found, QUERY), bits(found, DOWN), bits(found, DOWN, 1)) == (16, 8, 4)
    assert head_format(found) is None
    assert head_format(read(quant_method="gptq", bits=4, lm_head=True)) is not None


def test_own_bits_of_auto_round_are_read() -> None:
    own = {"model.layers.0.self_attn.q_proj": {"bits": 16}, ".*down_proj": {"bits": 8}}
    found = read(quant_method="auto-round", bits=4, group_size=128, extra_config=own)
    assert (bits(found, QUERY), bits(found, QUERY, 1), bits(found, DOWN)) == (16, 4, 8)
    blocks = read(quant_method="auto-round", bits=4, block_name_to_quantize="model.layers")
    assert (bits(blocks, DOWN), blocks.others) == (4, False)


@pytest.mark.parametrize("method", ["gptq", "awq", "auto-round", "gptq_marlin"])
def test_scales_of_whole_columns_are_not_negative(method: str) -> None:
    found = read(quant_method=method, bits=4, group_size=-1)
    assert (found.format.scale_bytes, found.format.group) == (0.0, None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"quant_method": "modelopt", "quant_algo": "FP3"}, 'quant_algo "FP3"'),
        ({"quant_method": "gptq", "bits": 4, "group_size": 0}, "group_size must be -1"),
        ({"quant_method": "gptq", "bits": 99}, "bits must be between 1 and 16"),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"a": INT4_GROUP | {"targets": ["Conv1d"]}}},
            "Conv1d",
        ),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp6"}}}, '"fp6"'),
        ({"quant_method": "auto-round", "data_type": "nf5"}, '"nf5"'),
        ({"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24-bitmask"}}, "sparse-24"),
    ],
)
def test_what_can_t_be_resolved_is_said(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_quantization(fields)


def test_quark_and_bitsandbytes_are_read() -> None:
    quark = {"global_quant_config": {"weight": {"dtype": "fp4", "group_size": 32}}, "exclude": ["re:.*self_attn.*"]}
    found = read(
        quant_method="quark", layer_quant_config={"*.mlp.down_proj": {"weight": {"dtype": "fp8_e4m3"}}}, **quark
    )
    assert (bits(found, QUERY), bits(found, DOWN), bits(found, EXPERT)) == (16, 8, 4)
    assert bits(read(quant_method="bitsandbytes", load_in_4bit=True), DOWN) == 4


@pytest.mark.parametrize("tensor", [2, 4, 8])
def test_shards_do_not_cut_groups(tensor: int) -> None:
    awq = {"quant_method": "awq", "bits": 4, "group_size": 128}
    model = read_architecture({**LLAMA, "intermediate_size": 29_568, "quantization_config": awq})
    found = list(refusals(model, Layout(tensor), Cluster(1, tensor)))
    assert any("cut the groups of 128" in refusal.text and "not aligned" in refusal.vllm for refusal in found)
    whole = read_architecture({**LLAMA, "intermediate_size": 29_568, "quantization_config": awq | {"group_size": -1}})
    assert list(refusals(whole, Layout(tensor), Cluster(1, tensor))) == []


@pytest.mark.parametrize(("gpu", "refused"), [("a100", True), ("l40s", True), ("h200", False), ("b200", False)])
def test_sparse_attention_needs_a_new_gpu(gpu: str, refused: bool) -> None:
    model = architecture("deepseek-ai--DeepSeek-V3.2")
    found = refusals(model, Layout(8), Cluster(1, 8), find_gpu(gpu))
    assert any(refusal.part == "gpu" for refusal in found) is refused


def test_image_encoder_is_split_over_ranks() -> None:
    model = architecture("Qwen--Qwen3.5-27B")
    one, two = (stage_weights(model, Layout(tensor), 0)["other"] for tensor in (1, 2))
    assert one == pytest.approx(2 * two)
    assert one / GIB > 0.5
