"""The layout and flags that are chosen for a goal."""

from __future__ import annotations

import dataclasses

import pytest

from vmn.adapters.models import registered_model
from vmn.core.planning.gpus import find_gpu
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.prediction import VllmOptions, plan_context, predict, predict_all
from vmn.core.speed.choice import GOALS, Choice, choose, merit
from vmn.core.speed.predict import speed_context
from vmn.core.speed.workload import Workload

LLAMA, R1 = "meta-llama/Llama-3.1-8B-Instruct", "deepseek-ai/DeepSeek-R1"
MANY = Workload(1000, 300, concurrency=900)


def choice(model: str, goal: str, workload: Workload, cluster: Cluster, **options: object) -> Choice:
    given = VllmOptions(**{"version": "0.33.0", **options})  # type: ignore[arg-type]
    context = speed_context(plan_context(registered_model(model).architecture, find_gpu("h200"), cluster, given))
    assert context
    found = choose(context, predict_all(context.plan), workload, goal)
    assert found
    return found


def flags(found: Choice) -> dict[str, object]:
    return {setting.flag: setting.value for setting in found.settings}


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize(("model", "nodes"), [(LLAMA, 1), (R1, 2)])
def test_choice_is_never_predicted_to_be_worse_than_the_planner_s(model: str, nodes: int, goal: str) -> None:
    found = choice(model, goal, MANY, Cluster(nodes, 8, "roce"))
    assert found.gain >= -1e-9
    assert found.variant.prediction.fits
    assert all(setting.reason for setting in found.settings)
    assert merit(goal, found.variant) >= merit(goal, found.before)


def test_cache_of_a_small_group_limits_the_requests_of_a_step() -> None:
    found = choice(LLAMA, "latency", Workload(100_000, 1000, concurrency=4), Cluster(1, 1))
    limit = flags(found)["max-num-seqs"]
    assert isinstance(limit, int)
    assert limit % 8 == 0
    assert limit * 101_000 <= found.variant.prediction.tokens.expected


def test_target_for_a_token_limits_the_requests_of_a_step() -> None:
    short = Workload(500, 200, concurrency=4)
    strict = flags(choice(LLAMA, "latency", dataclasses.replace(short, tpot=0.007), Cluster(1, 1)))["max-num-seqs"]
    loose = flags(choice(LLAMA, "latency", dataclasses.replace(short, tpot=0.014), Cluster(1, 1)))["max-num-seqs"]
    assert isinstance(strict, int)
    assert isinstance(loose, int)
    assert strict < loose < 1024


def test_context_is_chosen_by_tokens_in_the_cache() -> None:
    found = choice(R1, "context", Workload(2000, 500, concurrency=8), Cluster(2, 8, "roce"))
    assert found.variant.prediction.tokens.expected > 2 * found.before.prediction.tokens.expected
    assert flags(found).get("kv-cache-dtype") == "fp8"


@pytest.mark.parametrize(("acceptance", "drafts"), [(0.9, True), (0.01, False)])
def test_drafts_are_used_when_enough_of_them_are_accepted(acceptance: float, drafts: bool) -> None:
    asked = Workload(500, 500, concurrency=1, drafts=1, acceptance=acceptance)
    found = choice(R1, "latency", asked, Cluster(2, 8, "roce"))
    assert ("speculative-config" in flags(found)) == drafts


def test_model_without_layers_for_drafts_gets_none() -> None:
    asked = Workload(500, 500, concurrency=1, drafts=1, acceptance=0.9)
    assert "speculative-config" not in flags(choice(LLAMA, "latency", asked, Cluster(1, 1)))


def test_type_of_the_cache_that_the_user_gives_stays() -> None:
    found = choice(LLAMA, "context", MANY, Cluster(1, 1), kv_dtype="bfloat16")
    assert "kv-cache-dtype" not in flags(found)


def test_nothing_is_chosen_when_nothing_fits() -> None:
    plan = plan_context(
        registered_model(R1).architecture, find_gpu("h200"), Cluster(1, 1), VllmOptions(version="0.33.0")
    )
    context = speed_context(plan)
    assert context
    assert choose(context, predict_all(plan), MANY, "throughput") is None


def test_layers_for_drafts_take_memory_from_the_cache() -> None:
    asked = Workload(500, 500, concurrency=1, drafts=1, acceptance=0.9)
    found = choice(R1, "latency", asked, Cluster(2, 8, "roce"))
    assert "speculative-config" in flags(found)
    plan, layout = found.variant.context.plan, found.variant.prediction.layout
    plain = dataclasses.replace(
        plan, model=registered_model(R1).architecture, batch=dataclasses.replace(plan.batch, drafted=0)
    )
    assert found.variant.prediction.tokens.expected < predict(plain, layout).tokens.expected


def test_drafts_that_the_user_sets_stay() -> None:
    asked = Workload(500, 500, concurrency=1, drafts=1, acceptance=0.9)
    found = choice(R1, "latency", asked, Cluster(2, 8, "roce"), drafted=1)
    assert "speculative-config" not in flags(found)
    assert found.variant.speed.workload.drafts == 1
