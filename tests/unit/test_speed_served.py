"""The predicted speed of servers that others measured, beside the errors of a peer on the same rows."""

from __future__ import annotations

import pytest

from speed.served import PEER_GPU, PEERS, errors_by_kind, errors_of, medians


def test_servers_are_met_better_than_by_a_peer() -> None:
    found = errors_of(PEER_GPU)
    first, each = medians(found)
    print(f"{len(found)} rows: time to first token {first:.1%}, time per token {each:.1%}")
    assert len(found) >= 300
    assert first < PEERS["aiconfigurator 0.12.0"][0]
    assert each < PEERS["aiconfigurator 0.12.0"][1]


@pytest.mark.parametrize("gpu", ["h100", "h200", "b200"])
def test_time_per_token_of_a_dense_model_is_met_on_gpus_without_own_calls(gpu: str) -> None:
    assert medians(errors_by_kind()[gpu, "meta-llama/Llama-3.1-70B"])[1] < 0.10


@pytest.mark.parametrize("gpu", ["h100", "b200", "b300"])
def test_times_per_token_of_other_gpus_are_met(gpu: str) -> None:
    assert medians(errors_of(gpu))[1] < 0.25
