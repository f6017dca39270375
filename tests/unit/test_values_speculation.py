"""What values ask of speculative decoding, in each form that the chart and vLLM read."""

from __future__ import annotations

from typing import Any

import pytest

from vmn.adapters.models import registered_model
from vmn.core.values.speculation import asked_speculation, speculation_problems

OWN = {"method": "mtp", "num_speculative_tokens": 2}


@pytest.mark.parametrize(
    ("engine", "key"),
    [
        ({"speculativeTokens": 2}, "engine.speculativeTokens"),
        ({"args": {"speculative-config": OWN}}, "engine.args.speculative-config"),
        ({"args": {"speculative-config": '{"method": "mtp", "num-speculative-tokens": 2}'}}, None),
        ({"args": {"speculative": OWN}}, "engine.args.speculative"),
        (
            {"args": {"speculative-config.method": "mtp", "speculative-config.num_speculative_tokens": 2}},
            "engine.args.speculative-config.method",
        ),
        ({"args": {"spec-method": "mtp", "spec-tokens": 2}}, "engine.args.spec-method"),
    ],
)
def test_every_form_asks_for_the_same(engine: dict[str, Any], key: str | None) -> None:
    found = asked_speculation(engine)
    assert found
    assert (dict(found.fields), found.tokens) == (OWN, 2)
    assert found.key == (key or "engine.args.speculative-config")


@pytest.mark.parametrize(
    "engine",
    [
        {},
        {"speculativeTokens": None, "args": {}},
        {"args": {"speculative-config": None}},
        {"args": {"speculative-config": "not JSON"}},
        {"args": {"specialize-active-lora": True, "seed": 1}},
    ],
)
def test_nothing_is_asked_for(engine: dict[str, Any]) -> None:
    assert asked_speculation(engine) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "ngram", "num_speculative_tokens": 3},
        {"method": "eagle3", "model": "some/draft", "num_speculative_tokens": 3},
        {"method": "mtp", "model": "some/draft", "num_speculative_tokens": 3},
    ],
)
def test_drafts_of_others_have_no_tokens_of_own_layers(fields: dict[str, Any]) -> None:
    asked = asked_speculation({"args": {"speculative-config": fields}})
    assert asked
    assert asked.tokens == 0
    model = registered_model("meta-llama/Llama-3.1-8B-Instruct").architecture
    assert list(speculation_problems(asked, model, (0, 32))) == []


@pytest.mark.parametrize(
    ("model", "engine", "version", "words"),
    [
        ("deepseek-ai/DeepSeek-R1", {"speculativeTokens": 3}, (0, 32), ""),
        ("thinkingmachines/Inkling", {"speculativeTokens": 9}, (0, 33), "Use at most 8, or a multiple of 8."),
        ("meta-llama/Llama-3.1-8B-Instruct", {"speculativeTokens": 1}, (0, 33), "Remove it."),
        ("meta-llama/Llama-3.1-8B-Instruct", {"speculativeTokens": 1}, (0, 34), ""),
        ("meta-llama/Llama-3.1-8B-Instruct", {"speculativeTokens": 1}, None, ""),
        ("deepseek-ai/DeepSeek-R1", {"args": {"speculative-config": {"method": "mtp"}}}, (0, 32), "without a number"),
    ],
)
def test_problem_says_what_to_do(
    model: str, engine: dict[str, Any], version: tuple[int, int] | None, words: str
) -> None:
    asked = asked_speculation(engine)
    assert asked
    found = [problem.message for problem in speculation_problems(asked, registered_model(model).architecture, version)]
    assert len(found) == bool(words)
    assert words in "".join(found)
