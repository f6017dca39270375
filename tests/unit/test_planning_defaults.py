"""Fields that ``config.json`` may leave out, because they have the default of their class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unit.planning_data.table import REGISTRY, configuration
from vmn.core.planning.blocks.feed_forward import Experts
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.weights import stage_weights
from vmn.core.planning.model.architecture import ConfigError
from vmn.core.planning.model.config_json import read_architecture
from vmn.core.planning.model.defaults import ALIASES, DEFAULTS, with_defaults
from vmn.core.planning.model.families import FAMILIES
from vmn.core.planning.model.traits import TRAITS

AXK1 = {
    "model_type": "axk1",
    "hidden_size": 512,
    "vocab_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "intermediate_size": 1024,
    "moe_intermediate_size": 256,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "max_position_embeddings": 4096,
}
"""A small model with the fields that A.X K1's ``config.json`` has, without those that have a default."""


def sparse(config: dict[str, Any]) -> list[bool]:
    return [isinstance(layer.mlp, Experts) for layer in read_architecture(config).layers]


def test_first_layer_is_dense_when_config_json_does_not_say_it() -> None:
    assert sparse(AXK1) == [False, True, True, True]
    assert sparse({**AXK1, "first_k_dense_replace": 0}) == [True] * 4
    assert sparse({**AXK1, "mlp_layer_types": ["sparse", "dense", "sparse", "sparse"]}) == [True, False, True, True]


def test_missing_fields_are_those_of_the_class() -> None:
    named = {"first_k_dense_replace": 1, "kv_lora_rank": 512, "n_shared_experts": 1, "q_lora_rank": 1536}
    assert read_architecture(AXK1) == read_architecture({**AXK1, **named})


def test_null_is_not_a_missing_field() -> None:
    given, null = (read_architecture({**AXK1, **fields}) for fields in ({}, {"q_lora_rank": None}))
    assert stage_weights(given, Layout(), 0)["attention"] != stage_weights(null, Layout(), 0)["attention"]


@pytest.mark.parametrize("name", ["Qwen--Qwen3.8-Flash-Next", "zai-org--GLM-5.3-Flash"])
def test_fields_of_a_text_config_have_the_defaults_of_its_class(name: str) -> None:
    config = dict(configuration(name))
    kind = config["text_config"]["model_type"]
    without = {key: value for key, value in config["text_config"].items() if key not in DEFAULTS[kind]}
    assert read_architecture({**config, "text_config": {**without, **DEFAULTS[kind]}}) == read_architecture(
        {**config, "text_config": without}
    )


@pytest.mark.parametrize(("name", "others"), ALIASES.items())
def test_default_does_not_count_when_another_field_says_the_same(name: str, others: tuple[str, ...]) -> None:
    kind = next(kind for kind, fields in DEFAULTS.items() if name in fields)
    for other in others:
        assert name not in with_defaults({"model_type": kind, other: 2})
    assert name in with_defaults({"model_type": kind})


def test_defaults_are_those_of_models_that_the_planner_knows() -> None:
    known = {*TRAITS, *FAMILIES}
    assert {kind for kind in DEFAULTS if not {kind, kind.removesuffix("_text")} & known} == set()


@pytest.mark.parametrize("file", sorted(REGISTRY.glob("*.json")), ids=lambda file: file.stem)
def test_models_that_vmn_knows_name_all_their_fields(file: Path) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))["config"]
    inner = config.get("text_config", config)
    assert with_defaults(inner) == inner


def test_window_that_layers_need_is_not_left_out() -> None:
    config = {**configuration("google--gemma-3-27b-it")["text_config"], "sliding_window": None}
    with pytest.raises(ConfigError, match="sliding_attention, but sliding_window is missing"):
        read_architecture(config)
