"""Reading shapes from ``config.json``, and refusing what is not modelled."""

from __future__ import annotations

import pytest

from unit.planning_data.table import configuration
from vmn.core.planning.blocks.feed_forward import Experts
from vmn.core.planning.gpus import GPUS, UnknownGpu, find_gpu, gpu_of
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.weights import stage_weights
from vmn.core.planning.model.architecture import ConfigError
from vmn.core.planning.model.config_json import UNKNOWN_FIELDS, read_architecture
from vmn.core.planning.vllm.versions import BEHAVIOURS, UnknownVersion, batch_defaults, behaviour, graph_sizes

LLAMA = configuration("llama8b")


@pytest.mark.parametrize("field", UNKNOWN_FIELDS)
def test_what_is_not_modelled_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field} shows that the model has .*, which the planner does not support"):
        read_architecture({**LLAMA, field: [4, 128]})


@pytest.mark.parametrize("field", ["hidden_size", "num_hidden_layers", "vocab_size", "max_position_embeddings"])
def test_missing_field_is_named(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        read_architecture({name: value for name, value in LLAMA.items() if name != field})


def test_unknown_quantization_is_refused() -> None:
    with pytest.raises(ConfigError, match='quant_method "new" is not known'):
        read_architecture({**LLAMA, "quantization_config": {"quant_method": "new"}})


def test_model_optimizer_s_own_file_is_read() -> None:
    beside = {"quantization": {"quant_algo": "NVFP4", "group_size": 16, "kv_cache_quant_algo": "FP8"}}
    model = read_architecture({**LLAMA, "hf_quant_config": beside})
    assert model.quantization is not None
    assert model.quantization.method == "nvfp4"
    assert (model.quantization.weight_bytes, model.quantization.scale_bytes) == (0.5, 1 / 16)
    assert model.kv_dtype == "fp8"


def test_multi_token_prediction_is_not_loaded() -> None:
    with_it = read_architecture({**configuration("dsr1-8L"), "num_nextn_predict_layers": 1})
    without = read_architecture(configuration("dsr1-8L"))
    assert stage_weights(with_it, Layout(), 0) == stage_weights(without, Layout(), 0)


def test_experts_are_those_of_any_layer() -> None:
    model = read_architecture(configuration("dsr1-8L"))
    assert isinstance(model.experts, Experts)
    assert [isinstance(layer.mlp, Experts) for layer in model.layers] == [False] * 3 + [True] * 5
    assert read_architecture(LLAMA).experts is None


@pytest.mark.parametrize("version", ["0.6.0", "v0.26.0", "0.11.1rc2.dev3+g123", "0.32.0", "0.99.0"])
def test_every_version_has_its_behaviour(version: str) -> None:
    assert behaviour(version) in BEHAVIOURS


@pytest.mark.parametrize("version", ["0.5.3", "main", "1"])
def test_version_that_is_not_known_is_named(version: str) -> None:
    with pytest.raises(UnknownVersion, match=version):
        behaviour(version)


def test_versions_are_in_order() -> None:
    since = [entry.since for entry in BEHAVIOURS]
    assert since == sorted(set(since))


@pytest.mark.parametrize(
    ("gib", "name", "version", "defaults"),
    [
        (178.35, "b200", (0, 32), (16_384, 1024)),
        (79.18, "h100-80gb", (0, 32), (8192, 1024)),
        (79.15, "a100-80gb", (0, 32), (2048, 256)),
        (23.55, "rtx-4090", (0, 32), (2048, 256)),
        (121.69, "gb10", (0, 32), (8192, 1024)),
        (121.69, "gb10", (0, 33), (2048, 256)),
        (79.15, "a800-80gb", (0, 33), (8192, 1024)),
        (79.18, "h100-80gb", (0, 7), (2048, 256)),
    ],
)
def test_batch_follows_the_gpu(gib: float, name: str, version: tuple[int, int], defaults: tuple[int, int]) -> None:
    assert batch_defaults(gib, name, version) == defaults


@pytest.mark.parametrize(
    ("requests", "large", "sizes"), [(1024, False, 51), (1024, True, 83), (4, False, 4), (1, False, 2)]
)
def test_sizes_of_cuda_graphs(requests: int, large: bool, sizes: int) -> None:
    assert graph_sizes(requests, large) == sizes


def test_gpus_are_found_by_name_alias_and_product() -> None:
    assert find_gpu("H100") == find_gpu("h100-80gb") == find_gpu("NVIDIA-H100-80GB-HBM3")
    assert all(gpu.source for gpu in GPUS)
    with pytest.raises(UnknownGpu, match="h100-80gb"):
        find_gpu("abacus")


@pytest.mark.parametrize("name", ["b300", "gb200", "gb300", "rtx-pro-6000", "h100-nvl", "h20", "h20-3e", "l20", "a800"])
def test_gpus_of_today_are_known(name: str) -> None:
    assert find_gpu(name).source


def test_memory_of_a_gpu_can_be_given() -> None:
    assert (gpu_of("abacus", 64.0).gib, gpu_of("abacus", 64.0).capability) == (64.0, None)
    assert (gpu_of("h100", 64.0).gib, gpu_of("h100", 64.0).capability) == (64.0, 9)
    with pytest.raises(UnknownGpu, match="--gpu-memory"):
        gpu_of("abacus", None)
