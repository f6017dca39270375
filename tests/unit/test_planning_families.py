"""Models with a file of their own: their layers, weights, states, and blocks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unit.planning_data.table import HERE, architecture, configuration
from vmn.core.planning.blocks.feed_forward import Experts
from vmn.core.planning.blocks.grouped import Attention
from vmn.core.planning.blocks.states import KimiDeltaAttention, Mamba2
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.kv_cache import kv_cache
from vmn.core.planning.memory.weights import stage_weights
from vmn.core.planning.model.architecture import ConfigError
from vmn.core.planning.model.config_json import read_architecture
from vmn.core.planning.model.families import FAMILIES
from vmn.core.planning.vllm.versions import behaviour

TODAY = behaviour("0.33.0")
SUPER = "nvidia--NVIDIA-Nemotron-3-Super-120B-A12B-BF16"
ULTRA = "nvidia--NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16"
NOT_MEASURED = {
    "bailing_hybrid",
    "inkling_mm_model",
    "k2_horizon",
    "laguna",
    "mimo_v2",
    "mimo_v2_flash",
    "step3p5",
    "step3p7",
}
"""Families of which no start is known, so that they rest on vLLM's source alone."""
MINIMAX = "MiniMaxAI--MiniMax-M3"
KIMI = "moonshotai--Kimi-K3"


def test_every_family_has_a_start_up() -> None:
    points = json.loads((HERE / "points-0.33.json").read_text(encoding="utf-8"))["points"]
    configs = [point["config"] for point in points]
    kinds = {one.get("model_type") for config in configs for one in (config, config.get("text_config") or config)}
    assert set(FAMILIES) - {"kimi_k3", *NOT_MEASURED} <= kinds


def test_nemotron_s_layers_are_one_block_each() -> None:
    layers = architecture(SUPER).layers
    assert [type(layer.attention) for layer in layers[:8]] == [*[Mamba2, type(None)] * 3, Mamba2, Attention]
    assert all((layer.attention is None) is isinstance(layer.mlp, Experts) for layer in layers)


def test_words_of_the_pattern_mean_its_letters() -> None:
    config = configuration(SUPER)
    words = {"M": "mamba", "*": "attention", "E": "moe"}
    named = [words[letter] for letter in config["hybrid_override_pattern"]]
    other = {key: value for key, value in config.items() if key != "hybrid_override_pattern"}
    assert read_architecture({**other, "layers_block_type": named}) == read_architecture(config)


@pytest.mark.parametrize(("model", "kind"), [(SUPER, Mamba2), (ULTRA, Mamba2), (KIMI, KimiDeltaAttention)])
def test_states_are_split_over_ranks(model: str, kind: type) -> None:
    shapes = architecture(model)
    assert any(isinstance(layer.attention, kind) for layer in shapes.kinds)
    blocks = [kv_cache(shapes, Layout(tensor), "auto", 8192, TODAY).block for tensor in (1, 2, 4)]
    assert blocks == sorted(blocks, reverse=True)


def test_block_of_kimi_k3_is_as_large_as_its_state() -> None:
    cache = kv_cache(architecture(KIMI), Layout(8), "auto", 8192, TODAY)
    assert (cache.block, cache.page) == (768, 768 * 1152)  # 814,080 bytes of state, up to 128 tokens


def test_projections_to_the_latent_width_are_copied() -> None:
    shapes = architecture(SUPER)
    one, eight = (stage_weights(shapes, Layout(tensor), 0) for tensor in (1, 8))
    assert one["experts"] == pytest.approx(8 * eight["experts"])
    copied = 40 * 2 * 4096 * 1024 * 2
    assert 8 * eight["feed-forward"] - one["feed-forward"] == pytest.approx(7 * copied)


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        (SUPER, {"hybrid_override_pattern": "MEX*"}, "has X: the planner knows"),
        (SUPER, {"hybrid_override_pattern": ""}, "has no layers"),
        (KIMI, {"num_hidden_layers": 200}, "says nothing about layer"),
    ],
)
def test_layers_that_are_not_known_are_refused(model: str, change: dict[str, Any], message: str) -> None:
    config = configuration(model)
    text = config.get("text_config")
    changed = {**config, "text_config": {**text, **change}} if text else {**config, **change}
    with pytest.raises(ConfigError, match=message):
        read_architecture(changed)


def test_indexer_of_minimax_keeps_a_key_on_each_rank() -> None:
    shapes = architecture(MINIMAX)
    for tensor, token in ((4, 512), (8, 512), (1, 2048)):
        cache = kv_cache(shapes, Layout(tensor), "auto", 8192, TODAY)
        assert (cache.block, len(cache.groups)) == (128, 1)
        assert cache.block_bytes(0, 60) == 128 * (60 * token + 57 * 256)


def test_parameters_of_minimax_are_those_that_its_maker_names() -> None:
    weights = stage_weights(architecture(MINIMAX), Layout(), 0)
    assert sum(weights.values()) / 2 == pytest.approx(427.04e9, rel=0.001)


def test_layers_of_a_known_model_are_read_in_any_wrapper() -> None:
    text = {**configuration("dsr1-8L"), "model_type": "deepseek_v3"}
    wrapped = {"architectures": ["PixtralForConditionalGeneration"], "model_type": "pixtral", "text_config": text}
    assert read_architecture(wrapped).layers == read_architecture(text).layers
