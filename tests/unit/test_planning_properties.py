"""What must hold for each plan: more memory never holds less."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.planning_data.registry import planned
from vmn.core.planning.gpus import GPUS, find_gpu
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.prediction import PlanContext, VllmOptions, plan_context, predict, predict_all

EXAMPLES = 40
QUESTIONS = {
    "number": st.integers(0, 999),
    "gpu": st.sampled_from([gpu.name for gpu in GPUS]),
    "version": st.sampled_from(["0.19.0", "0.26.0", "0.32.0"]),
    "eager": st.booleans(),
}


def question_of(number: int, gpu: str, version: str, eager: bool, gpus: int, kv_dtype: str = "auto") -> PlanContext:
    """Return a context on GPUs of one node."""
    model = planned()[number % len(planned())].architecture
    options = VllmOptions(version=version, eager=eager, kv_dtype=kv_dtype)
    return plan_context(model, find_gpu(gpu), Cluster(1, gpus, "nvlink"), options)


def most_tokens(context: PlanContext) -> float:
    """Return the tokens of the layout with the most."""
    return max((prediction.tokens.expected for prediction in predict_all(context)), default=0)


@pytest.mark.slow
@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
@settings(max_examples=EXAMPLES)
@given(**QUESTIONS)
def test_twice_the_gpus_never_hold_fewer_tokens(gpus: int, number: int, gpu: str, version: str, eager: bool) -> None:
    fewer, more = (most_tokens(question_of(number, gpu, version, eager, count)) for count in (gpus, 2 * gpus))
    assert more >= fewer


@settings(max_examples=EXAMPLES)
@given(**QUESTIONS, layout=st.sampled_from([Layout(), Layout(2), Layout(8), Layout(4, 2), Layout(1, 1, 4, True)]))
def test_fp8_cache_never_holds_fewer_tokens(number: int, gpu: str, version: str, eager: bool, layout: Layout) -> None:
    wide, small = (
        predict(question_of(number, gpu, version, eager, layout.gpus, kv_dtype), layout) for kv_dtype in ("auto", "fp8")
    )
    assert small.needed_gib <= wide.needed_gib
    # Sparse attention reserves a workspace for an FP8 cache: 2.5 GiB for DeepSeek-V3.2, which a full GPU may lack.
    reserved = [max((rank.weights.get("buffers", 0.0) for rank in item.ranks), default=0.0) for item in (wide, small)]
    if not wide.rejected and wide.cache and reserved[0] + 0.1 >= reserved[1]:
        assert wide.tokens.expected <= small.tokens.expected
