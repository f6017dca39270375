"""Which settings ``vmn tune`` tries: those of the plan, and those of the user."""

from __future__ import annotations

import pytest

from vmn.adapters.models import registered_model
from vmn.core.bench.points import Point
from vmn.core.planning.gpus import find_gpu
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.prediction import VllmOptions, plan_context, predict_all
from vmn.core.speed.choice import Variant, merit
from vmn.core.speed.predict import speed, speed_context
from vmn.core.speed.workload import Workload
from vmn.core.tune.candidates import GOALS, candidates, knobs, other_layout, with_prediction
from vmn.core.tune.history import Revision
from vmn.core.tune.setting import SettingError, setting_of

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
POINT = Point(0, 1000, 300, 256, 1024)
DEPLOYED = Revision(3, "deployed", "Upgrade complete")


def now(concurrency: int = 256, **options: object) -> Variant:
    """Return Llama 8B on one H200 with some of vLLM's flags."""
    given = VllmOptions(**{"version": "0.33.0", **options})  # type: ignore[arg-type]
    plan = plan_context(registered_model(LLAMA).architecture, find_gpu("h200"), Cluster(1, 1), given)
    context = speed_context(plan)
    assert context
    prediction = predict_all(plan)[0]
    return Variant(context, prediction, speed(context, prediction, Workload(1000, 300, concurrency=concurrency)))


@pytest.mark.parametrize("goal", GOALS)
def test_candidates_are_ranked_and_fit_and_change_something(goal: str) -> None:
    found = candidates(now(requests=64), {}, goal, 4)
    gains = [setting.gain or 0.0 for setting in found]
    assert 0 < len(found) <= 4
    assert gains == sorted(gains, reverse=True)
    assert len({setting.name for setting in found}) == len(found)
    assert all(setting.flags and setting.reason and setting.predicted for setting in found)


def test_limit_that_keeps_requests_waiting_is_raised() -> None:
    best = candidates(now(requests=64), {}, "throughput", 1)[0]
    assert best.flags["max-num-seqs"] == 256
    assert (best.gain or 0.0) > 0.3


def test_limit_is_lowered_to_the_room_in_the_cache() -> None:
    asked = now(concurrency=2000)
    values = [knob.value for knob in knobs(asked, {}) if knob.flag == "max-num-seqs"]
    room = asked.prediction.tokens.low / 1300
    assert [value for value in values if isinstance(value, int) and value <= room] == values
    assert len(values) == 1


def test_eager_mode_is_tried_without() -> None:
    flags = [setting.flags for setting in candidates(now(eager=True), {"enforce-eager": ""}, "latency", 4)]
    assert any(each.get("enforce-eager") is False for each in flags)


@pytest.mark.parametrize(("flags", "count"), [({}, 2), ({"compilation-config": '{"cudagraph_capture_sizes": [1]}'}, 0)])
def test_graphs_are_tried_unless_the_user_lists_them(flags: dict[str, str], count: int) -> None:
    found = [knob for knob in knobs(now(concurrency=900, requests=1000), flags) if "cudagraph" in knob.flag]
    assert len(found) == count


def test_flags_that_help_are_also_tried_together() -> None:
    found = candidates(now(concurrency=900, requests=64, batched_tokens=2048), {}, "throughput", 4)
    assert any(len(setting.flags) > 1 for setting in found)


def test_setting_of_the_user_is_predicted_where_the_plan_knows_its_flags() -> None:
    own = now(requests=64)
    assert (with_prediction(own, setting_of("max-num-seqs=256"), "throughput").gain or 0.0) > 0.3
    for words in ("block-size=32", "max-num-seqs=256 block-size=32", "max-num-seqs=true"):
        assert with_prediction(own, setting_of(words), "throughput").gain is None


def test_words_become_flags_with_types() -> None:
    found = setting_of("--max-num-seqs=64 enforce-eager=false kv-cache-dtype=fp8 'compilation-config={\"level\": 3}'")
    typed = {"max-num-seqs": 64, "enforce-eager": False, "kv-cache-dtype": "fp8", "compilation-config": {"level": 3}}
    assert found.values == {"engine": {"args": typed}}
    assert "enforce-eager=false" in found.name


@pytest.mark.parametrize("words", ["max-num-seqs", "a=1 a=2", "=", " ", "a={", "'", "a="])
def test_words_that_are_not_a_setting_are_refused(words: str) -> None:
    with pytest.raises(SettingError):
        setting_of(words)


def test_layout_of_which_much_more_is_expected_is_named() -> None:
    plan = plan_context(
        registered_model(LLAMA).architecture, find_gpu("h200"), Cluster(1, 2), VllmOptions(version="0.33.0")
    )
    context = speed_context(plan)
    assert context
    asked = Workload(1000, 300, concurrency=1)
    variants = [Variant(context, item, speed(context, item, asked)) for item in predict_all(plan) if item.is_sure]
    slow, fast = (choice(variants, key=lambda one: merit("latency", one)) for choice in (min, max))
    found = other_layout(slow, "latency")
    assert found
    assert found.layout == fast.prediction.layout
    assert found.values["parallelism"] == {
        **{"tensor": fast.prediction.layout.tensor, "pipeline": 1, "data": 1, "expert": False},
        "decodeContext": None,
    }
    assert "layout: tensor 2" in found.name
    assert other_layout(fast, "latency") is None


def test_values_of_which_the_same_is_expected_are_tried_once() -> None:
    found = candidates(now(concurrency=1), {}, "latency", 4)
    gains = [(tuple(setting.flags), round((setting.gain or 0.0) * 1000)) for setting in found]
    assert len(set(gains)) == len(gains)
