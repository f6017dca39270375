"""Rules about the model's shapes and the memory of the GPU."""

from __future__ import annotations

from typing import Any

import pytest

from kit.paths import CHART, CHECKOUT
from vmn.adapters.files import read_values
from vmn.adapters.models import registered_model
from vmn.core.planning.gpus import find_gpu
from vmn.core.values.model_rules import model_problems
from vmn.core.values.yaml import effective, merged

CASE = CHECKOUT / "tests" / "cases" / "model" / "context-over-memory.yaml"


def values_with(length: Any) -> dict[str, Any]:
    """Return values whose weights fit on the GPU, with a context length."""
    given = merged(read_values(CASE), {"model": {"maxLength": length}})
    return effective(read_values(CHART / "values.yaml"), given)


@pytest.mark.parametrize(("length", "keys"), [(None, ["model.maxLength"]), ("auto", []), (1024, [])])
def test_length_is_a_problem_when_it_is_fixed_and_does_not_fit(length: Any, keys: list[str]) -> None:
    values = values_with(length)
    model = registered_model(values["model"]["name"])
    found = model_problems(values, model.architecture, find_gpu("l4"))
    assert [problem.key for problem in found] == keys


SAMPLER, GRAPHS = "VLLM_USE_FLASHINFER_SAMPLER", "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS"


@pytest.mark.parametrize(
    ("length", "env", "reasons"),
    [
        (31_000, {}, []),
        (31_000, {SAMPLER: "0"}, []),
        (31_000, {SAMPLER: "1"}, ["GiB of KV cache on a l4"]),
        (38_000, {}, ["GiB of KV cache on a l4"]),
        (38_000, {GRAPHS: "0"}, []),
        (200_000, {}, ["exceeds the model's own limit"]),
        (200_000, {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}, ["GiB of KV cache on a l4"]),
        (1024, {SAMPLER: "yes"}, ["takes 0 or 1"]),
    ],
)
def test_variables_of_the_engine_are_part_of_the_plan(length: int, env: dict[str, str], reasons: list[str]) -> None:
    values: dict[str, Any] = merged(values_with(length), {"engine": {"env": env}})
    model = registered_model(values["model"]["name"])
    found = model_problems(values, model.architecture, find_gpu("l4"))
    assert len(found) == len(reasons)
    assert all(words in problem.reason for words, problem in zip(reasons, found, strict=True))
