"""What limits the requests and the length of a start in addition to memory."""

from __future__ import annotations

import json

import pytest

from unit.planning_data.table import architecture, question_of
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.memory.activation import Batch, RankContext
from vmn.core.planning.memory.overhead import graphs
from vmn.core.planning.model.length import longest_context
from vmn.core.planning.prediction import predict
from vmn.core.planning.startup_log.expected import log_lines
from vmn.core.planning.vllm.versions import behaviour, full_graph_sizes

HYBRID = architecture("Qwen--Qwen3.5-27B")
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}


@pytest.mark.parametrize(
    ("options", "fits"), [({}, False), ({"requests": 64}, True), ({"eager": True}, True), ({"version": "0.19.0"}, True)]
)
def test_requests_need_a_block_of_states_each(options: dict[str, object], fits: bool) -> None:
    options = {"max_model_len": 8192, **options}
    prediction = predict(question_of(HYBRID, "h100", Layout(), **options), Layout())
    assert prediction.fits is fits
    assert any("exceeds available Mamba cache blocks" in line for line in log_lines(prediction)) is not fits


@pytest.mark.parametrize(
    ("overrides", "limit"),
    [
        (None, 40_960),
        ({"max_position_embeddings": 65_536}, 65_536),
        ({"rope_parameters": YARN}, 131_072),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, 81_920),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8}}, 40_960),
        ({"text_config": {"max_position_embeddings": 65_536}}, 65_536),
        (json.dumps({"rope_scaling": YARN}), 131_072),
        ("not JSON", 40_960),
    ],
)
def test_overrides_change_the_longest_context(overrides: object, limit: int) -> None:
    assert longest_context(overrides, 40_960) == limit


def test_graphs_of_sparse_attention_may_be_large() -> None:
    batch, model = Batch(8192, 64, 202_752), architecture("zai-org--GLM-5.1")
    rank = RankContext(model, Layout(8, 2), batch, behaviour("0.32.0"), stage=0, fp8_cache=False, large_gpu=False)
    found = graphs(rank)
    assert found.high > 1.25 > found.expected
    assert full_graph_sizes(64) == 11
