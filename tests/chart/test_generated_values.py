"""Every plan that fits leads to values that pass all three rings and render."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kit.paths import CHART
from kit.render import helm_program, render
from vmn.app.plan_request import PlanRequest
from vmn.app.validation import values_problems
from vmn.app.values_file import values_file
from vmn.core.planning.gpus import GPUS, find_gpu

pytestmark = pytest.mark.slow

MODELS = (
    "deepseek-ai/DeepSeek-R1",
    "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.3-70B-Instruct",
    "openai/gpt-oss-120b",
    "Qwen/Qwen3-235B-A22B-Instruct-2507",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "zai-org/GLM-4.6",
)


@settings(max_examples=30)
@given(
    model=st.sampled_from(MODELS),
    gpu=st.sampled_from([gpu.name for gpu in GPUS]),
    nodes=st.sampled_from([1, 2, 4]),
    gpus=st.sampled_from([1, 2, 4, 8]),
    options=st.sampled_from(
        [{}, {"kv_cache_dtype": "fp8"}, {"enforce_eager": True}, {"max_model_len": 8192}, {"network": "infiniband"}]
    ),
)
def test_values_of_a_plan_pass_all_rings_and_render(
    model: str, gpu: str, nodes: int, gpus: int, options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = values_file(PlanRequest(model=model, gpu=gpu, nodes=nodes, gpus_per_node=gpus, **options))
    assume(text is not None)
    assert text
    file = tmp_path_factory.mktemp("values") / "values.yaml"
    file.write_text(text, encoding="utf-8")
    found = values_problems(CHART, file, helm=str(helm_program()), gpu=find_gpu(gpu))
    assert [f"{item.key} {item.message}" for item in found] == [], text
    assert render(None, file).one("LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]["size"] == nodes
