"""What vmn and the planner say of layers for multi-token prediction, against vLLM's own configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kit.insidevllm import ask
from unit.planning_data.table import REGISTRY, architecture, configuration
from vmn.core.planning.model.speculation import refused_drafts

pytestmark = [pytest.mark.engine, pytest.mark.minutes(2)]
SCRIPT = Path(__file__).with_name("draft_tokens.py")
MODELS = sorted(file.stem for file in REGISTRY.glob("*.json"))
R1 = "deepseek-ai--DeepSeek-R1"
DRAFTS = [
    (R1, 1, 1, ""),
    (R1, 3, 2, ""),
    ("meta-llama--Llama-3.1-8B-Instruct", 1, 1, "Unsupported speculative method: 'mtp'"),
    ("deepseek-ai--DeepSeek-V4.1-Flash", 1, 1, "Use speculative method 'dspark' instead of 'mtp'"),
    ("thinkingmachines--Inkling", 12, 1, "num_speculative_tokens:12 must be divisible by n_predict=8"),
]
"""A model, the tokens to draft, the pipeline stages, and what vLLM says to them."""
EMBEDDINGS: list[tuple[dict[str, Any], str]] = [
    ({"stages": 1, "flag": None}, "shared"),
    ({"stages": 2, "flag": None}, "own"),
    ({"stages": 2, "flag": False}, "needs the target input embedding, but it is unavailable on this PP stage"),
]
"""Drafts on the last stage, with the flag of their class, and whose embedding they use."""


def shapes(model: str) -> dict[str, Any]:
    """Return a model's ``config.json`` without its quantization, of which the registry has not all fields."""
    return {key: value for key, value in configuration(model).items() if key != "quantization_config"}


@pytest.fixture(scope="module")
def vllm_says(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Ask vLLM about all models, and about some drafts, in one process."""
    asked: list[dict[str, Any]] = [{"config": shapes(model)} for model in MODELS]
    asked += [{"config": shapes(model), "tokens": tokens, "pipeline": stages} for model, tokens, stages, _ in DRAFTS]
    asked += [dict(case) for case, _ in EMBEDDINGS]
    said: list[dict[str, Any]] = ask(
        SCRIPT,
        asked,
        tmp_path_factory.mktemp("drafts"),
        f"vLLM's own view of the drafting layers of {len(MODELS)} models",
    )
    assert len(said) == len(asked)
    return said


def test_depth_of_every_model_is_the_one_that_vllm_finds(vllm_says: list[dict[str, Any]]) -> None:
    found = {model: said["depth"] for model, said in zip(MODELS, vllm_says, strict=False)}
    read = {model: depth for model, depth in found.items() if "Error" not in str(depth)}
    assert len(read) > 0.95 * len(MODELS), "the others have configurations that Transformers does not know"
    mtp = {model: architecture(model).mtp for model in read}
    own = {model: layers.depth if layers else None for model, layers in mtp.items()}
    assert {model: own[model] for model in read if own[model] != (1 if read[model] == "any" else read[model])} == {}
    assert sum(bool(depth) for depth in own.values()) > 30


@pytest.mark.parametrize("number", range(len(DRAFTS)))
def test_vllm_takes_the_drafts_that_the_planner_takes(vllm_says: list[dict[str, Any]], number: int) -> None:
    model, tokens, _, words = DRAFTS[number]
    said = vllm_says[len(MODELS) + number]["said"]
    assert words in (said or "")
    assert bool(said) == bool(words) == bool(refused_drafts(tokens, architecture(model))), said


@pytest.mark.parametrize("number", range(len(EMBEDDINGS)))
def test_drafts_of_a_later_stage_have_an_embedding_of_their_own(vllm_says: list[dict[str, Any]], number: int) -> None:
    assert EMBEDDINGS[number][1] in vllm_says[len(MODELS) + len(DRAFTS) + number]["embedding"]
