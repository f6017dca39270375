"""What the planner says that vLLM says to a layout, against what vLLM says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kit.insidevllm import ask
from unit.planning_data.table import architecture, configuration
from vmn.core.planning.layout.constraints import Cluster, refusal
from vmn.core.planning.layout.sizes import Layout

pytestmark = pytest.mark.engine
SCRIPT = Path(__file__).with_name("refuse_layouts.py")
LLAMA = "meta-llama--Llama-3.1-8B-Instruct"
R1 = "deepseek-ai--DeepSeek-R1"
QWEN = "Qwen--Qwen3-235B-A22B-FP8"
QWEN_16_BIT = "Qwen--Qwen3-235B-A22B-Instruct-2507"
ACCEPTED = [
    (LLAMA, Layout(8)),
    (LLAMA, Layout(2, 2)),
    (LLAMA, Layout(16, decode_context=2)),
    (QWEN_16_BIT, Layout(4, expert=True)),
]
REFUSED = [
    *[(LLAMA, Layout(3)), (QWEN_16_BIT, Layout(3))],
    (LLAMA, Layout(2, expert=True)),
    *[(LLAMA, Layout(8, decode_context=size)) for size in (2, 3)],
    *[(LLAMA, Layout(16, decode_context=4)), (LLAMA, Layout(32, decode_context=3))],
]
WEIGHTS = [
    (R1, Layout(32), "validate_fp8_block_shape", [7168, 2 * 18432, 7168, [576, 576], [128, 128]]),
    (QWEN, Layout(32), "validate_fp8_block_shape_moe", [48, [128, 128]]),
]


def expected(model: str, layout: Layout) -> str:
    """Return what the planner says that vLLM prints, nothing for a layout that it accepts."""
    found = refusal(architecture(model), layout, Cluster(1, layout.gpus, "nvlink"))
    return found.vllm if found else ""


def case(model: str, layout: Layout) -> Mapping[str, Any]:
    return {"config": configuration(model), **asdict(layout)}


@pytest.fixture(scope="module")
def vllm_says(tmp_path_factory: pytest.TempPathFactory) -> list[str | None]:
    """Ask vLLM about all of them in one process."""
    asked = [case(model, layout) for model, layout in [*ACCEPTED, *REFUSED]]
    asked += [{"function": name, "arguments": given, "tensor": layout.tensor} for _, layout, name, given in WEIGHTS]
    said: list[str | None] = ask(
        SCRIPT, asked, tmp_path_factory.mktemp("refusals"), f"vLLM's own checks of {len(asked)} layouts"
    )
    assert len(said) == len(asked)
    return said


def test_vllm_accepts_what_the_planner_accepts(vllm_says: list[str | None]) -> None:
    assert [expected(*pair) for pair in ACCEPTED] == [""] * len(ACCEPTED)
    assert vllm_says[: len(ACCEPTED)] == [None] * len(ACCEPTED)


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_vllm_refuses_a_layout_in_these_words(vllm_says: list[str | None], number: int) -> None:
    words = expected(*REFUSED[number])
    assert words
    assert words in (vllm_says[len(ACCEPTED) + number] or "")


@pytest.mark.parametrize("number", range(len(WEIGHTS)))
def test_vllm_refuses_weights_in_these_words(vllm_says: list[str | None], number: int) -> None:
    model, layout, *_ = WEIGHTS[number]
    words = expected(model, layout)
    assert words
    assert words in (vllm_says[len(ACCEPTED) + len(REFUSED) + number] or "")
