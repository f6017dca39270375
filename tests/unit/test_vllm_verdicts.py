"""``vmn validate`` against what vLLM 0.33 itself says: recipes, each word of them changed, each flag."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from kit.paths import CHART
from kit.servelines import OWNED, SHORT, values_of
from unit.vllm_data import samples
from unit.vllm_data.verdicts import Verdict, recipes, taken_samples, verdicts
from vmn.adapters.files import read_schema, read_values
from vmn.adapters.vllm_interface import load_interface
from vmn.core.values.problem import ValuesProblem
from vmn.core.values.schema import schema_problems
from vmn.core.values.vllm_interface import Interface
from vmn.core.values.vllm_rules import vllm_problems
from vmn.core.values.yaml import effective

VERSION = "0.33"
DIFFERENT = {
    "model": "the chart gives the model as the first word",
    "mm-processor-device": "the verdicts are from vLLM's CPU build, which has no cuda",
    "data-parallel-multi-port-external-lb": "depends on parallelism.data",
    "compilation-config.inductor_passes": "modules of the image",
    "ec-transfer-config.ec_connector": "an empty name",
    "kv-transfer-config.kv_connector": "an empty name",
    "profiler-config.proton_mode": "an empty name",
    "pooler-config.logit_sigma": "only 0 is refused",
    "structured-outputs-config.reasoning_parser": "a plugin may add the name",
    "long-prefill-token-threshold": "its negative form abbreviates another flag",
    "speculative-config": "a value that isn't a map ends vLLM later",
    "tool-call-parser": "vLLM reads it only with enable-auto-tool-choice",
}
"""Flags and keys where vmn may differ from vLLM, and why."""


@cache
def interface() -> Interface:
    """Return the table of the version."""
    found = load_interface(VERSION)
    assert found
    return found


@cache
def chart() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the chart's defaults and its schema."""
    return dict(read_values(CHART / "values.yaml")), dict(read_schema(CHART))


def said(verdict: Verdict) -> list[ValuesProblem]:
    """Return what vmn says of the values that a line becomes."""
    defaults, schema = chart()
    values = effective(defaults, values_of(verdict.words))
    return [*schema_problems(values, schema), *vllm_problems(values, interface(), {})]


def may_differ(verdict: Verdict) -> bool:
    """Return whether the changed word is that of a value of the chart, which may take less, or of ``DIFFERENT``."""
    flag = next(word for word in reversed(verdict.words[: verdict.changed + 1]) if re.match("--?[A-Za-z]", word))
    name = SHORT.get(flag) or re.split("[=.]", flag)[0].lstrip("-").replace("_", "-")
    return name in OWNED or name in DIFFERENT


def test_recipes_are_many_and_most_are_right() -> None:
    taken = [verdict for verdict in verdicts(VERSION) if verdict.changed < 0 and not verdict.message]
    assert len(taken) >= 50
    assert {line.source for line in recipes()} >= {"models/deepseek-ai/DeepSeek-V3.2.yaml", "models/zai-org/GLM-5.yaml"}


def test_recipe_is_judged_as_vllm_judges_it() -> None:
    wrong = [
        (" ".join(verdict.words), verdict.message, [problem.message for problem in said(verdict)])
        for verdict in verdicts(VERSION)
        if verdict.changed < 0 and bool(said(verdict)) != bool(verdict.message)
    ]
    assert wrong == []


@pytest.mark.slow
def test_recipe_with_one_word_changed_is_refused_when_vllm_refuses_it() -> None:
    refused = [verdict for verdict in verdicts(VERSION) if verdict.changed >= 0 and verdict.message]
    assert len(refused) > 1000
    missed = [(verdict.words[verdict.changed], verdict.message) for verdict in refused if not said(verdict)]
    assert missed == []


@pytest.mark.slow
def test_recipe_with_one_word_changed_is_taken_when_vllm_takes_it() -> None:
    taken = [verdict for verdict in verdicts(VERSION) if verdict.changed >= 0 and not verdict.message]
    assert len(taken) > 300
    wrong = [
        (verdict.words[verdict.changed], problems[0].message)
        for verdict in taken
        if not may_differ(verdict) and (problems := said(verdict))
    ]
    assert wrong == []


@pytest.fixture(scope="module")
def judged() -> dict[str, str]:
    """Return, for each flag and key, a digit for each value: 1 where vmn takes it."""
    return {
        name: "".join("0" if vllm_problems({"engine": {"args": args}}, interface(), {}) else "1" for args in entries)
        for name, entries in samples.cases(interface())
    }


def test_every_flag_and_key_takes_what_vllm_takes(judged: dict[str, str]) -> None:
    taken = taken_samples(VERSION)
    assert list(judged) == list(taken)
    different = {name for name in judged if judged[name] != taken[name]}
    assert different <= set(DIFFERENT)


def test_differences_to_vllm_exist(judged: dict[str, str]) -> None:
    taken = taken_samples(VERSION)
    assert {name for name in DIFFERENT if judged[name] == taken[name]} == set()
