"""Speculative decoding: the flag that one value becomes, and the versions in which stages rule it out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.paths import CHECKOUT, MAIN_PRESETS, name_of
from kit.render import HelmFailed, render

R1 = CHECKOUT / "values" / "deepseek-r1.yaml"
FLAG = "--speculative-config"
TOKENS = {"speculativeTokens": 1}


def arguments(values: dict[str, Any], file: Path = R1) -> list[str]:
    """Return the arguments of vLLM, which are those of both roles."""
    leader, worker = (
        template["spec"]["containers"][0]["args"] for template in render(values, file).templates().values()
    )
    assert leader == worker
    return list(leader)


@pytest.mark.parametrize("file", MAIN_PRESETS, ids=name_of)
def test_preset_drafts_nothing_unless_asked_to(file: Path) -> None:
    plain = arguments({}, file)
    assert FLAG not in plain
    assert arguments({"engine": {"speculativeTokens": None}}, file) == plain


@pytest.mark.parametrize("tokens", [1, 3])
def test_tokens_become_one_argument_with_json(tokens: int) -> None:
    plain, found = arguments({}), arguments({"engine": {"speculativeTokens": tokens}})
    at = found.index(FLAG)
    assert json.loads(found[at + 1]) == {"method": "mtp", "num_speculative_tokens": tokens}
    assert found[:at] + found[at + 2 :] == plain


def test_other_methods_stay_a_matter_of_vllm_s_own_flag() -> None:
    config = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 3}
    found = arguments({"engine": {"args": {"speculative-config": config}}})
    assert json.loads(found[found.index(FLAG) + 1]) == config


@pytest.mark.parametrize(
    ("engine", "key"),
    [
        (TOKENS, "engine.speculativeTokens"),
        ({"args": {"speculative-config": {"method": "mtp", "num_speculative_tokens": 1}}}, "speculative-config"),
        ({"args": {"speculative-config": '{"method": "deepseek_mtp"}'}}, "speculative-config"),
        ({"args": {"specul.method": "mtp"}}, "specul.method"),
        ({"args": {"spec-method": "mtp", "spec-tokens": 1}}, "spec-method"),
    ],
)
@pytest.mark.parametrize("tag", ["v0.26.0", "v0.11.2-cu128"])
def test_stages_beside_drafts_are_refused_before_0_27(engine: dict[str, Any], key: str, tag: str) -> None:
    with pytest.raises(HelmFailed, match=rf"{key}: can't be combined with pipeline stages, of which this layout has 2"):
        render({"engine": engine, "image": {"tag": tag}}, R1)


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"tag": "v0.27.0"}},
        {"image": {"tag": "v0.33.0"}},
        {"image": {"repository": "example.com/own", "tag": "v0.26.0"}},
        {"image": {"tag": "v0.26.0"}, "parallelism": {"pipeline": 1}},
    ],
)
def test_stages_beside_drafts_are_left_to_other_versions(values: dict[str, Any]) -> None:
    assert FLAG in arguments({**values, "engine": TOKENS})
