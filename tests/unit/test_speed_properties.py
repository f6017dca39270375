"""What must be true of every predicted speed, whatever the factors are."""

from __future__ import annotations

import dataclasses
import math

import pytest

from kit.slowness import in_time
from vmn.adapters.models import registered_model
from vmn.core.planning.gpus import GPUS, find_gpu
from vmn.core.planning.layout.constraints import Cluster
from vmn.core.planning.layout.sizes import Layout
from vmn.core.planning.prediction import VllmOptions, plan_context, predict, predict_all
from vmn.core.speed.hardware import CHIPS, NETWORK_LINKS
from vmn.core.speed.predict import SpeedContext, replica_of, speed, speed_context
from vmn.core.speed.ranking import fewest, ranked, speeds
from vmn.core.speed.workload import BOUNDS, Speed, Workload

DENSE, EXPERTS, LATENT = "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-30B-A3B", "deepseek-ai/DeepSeek-V3"
CALL = Workload(1000, 200, requests=32)


def context(model: str, gpu: str = "h200", cluster: Cluster | None = None, **options: object) -> SpeedContext:
    plan = plan_context(
        registered_model(model).architecture,
        find_gpu(gpu),
        cluster or Cluster(1, 8, "nvlink"),
        VllmOptions(**{"max_model_len": 16384, "version": "0.33.0", **options}),  # type: ignore[arg-type]
    )
    found = speed_context(plan)
    assert found
    return found


def ask(model: str, workload: Workload, layout: Layout, gpu: str = "h200", **options: object) -> Speed:
    own = context(model, gpu, Cluster(1, layout.gpus, "nvlink"), **options)
    return speed(own, predict(own.plan, layout), workload)


def seconds(*args: object, **options: object) -> float:
    found = ask(*args, **options).makespan  # type: ignore[arg-type]
    assert found
    return found.expected


def test_every_gpu_of_the_planner_has_its_limits() -> None:
    assert {gpu.name for gpu in GPUS} == CHIPS.keys()
    assert all(chip.source and chip.bandwidth > 1e11 and chip.flops[2.0] > 1e13 for chip in CHIPS.values())


@pytest.mark.parametrize("model", [DENSE, EXPERTS])
@pytest.mark.parametrize(
    "more",
    [{"prompt": 4000}, {"answer": 800}, {"requests": 64}, {"prompt": 1001}, {"requests": 33}],
    ids=str,
)
def test_more_work_takes_longer(model: str, more: dict[str, int]) -> None:
    assert seconds(model, dataclasses.replace(CALL, **more), Layout()) > seconds(model, CALL, Layout())


@pytest.mark.parametrize("model", [DENSE, EXPERTS])
def test_answers_take_longer_than_reading_the_weights_once_for_each_token(model: str) -> None:
    found = ask(model, Workload(64, 64, requests=1), Layout())
    chip = CHIPS["h200-141gb"]
    shapes = registered_model(model).architecture
    active = 2 * (8.0e9 if model == DENSE else 3.0e9) - 2 * shapes.vocabulary * shapes.hidden
    assert found.each.low > active / chip.bandwidth * 0.8


def test_cached_prompts_are_faster_and_come_down_to_one_token() -> None:
    shared = dataclasses.replace(CALL, cached=0.9)
    assert seconds(DENSE, shared, Layout()) < seconds(DENSE, CALL, Layout())
    assert dataclasses.replace(CALL, cached=1.0).new_prompt == 1


def test_drafts_help_when_they_are_accepted_and_cost_when_they_are_not() -> None:
    call = Workload(1000, 400, requests=1)
    plain = seconds(LATENT, call, Layout(8))
    assert seconds(LATENT, dataclasses.replace(call, drafts=1, acceptance=0.8), Layout(8)) < plain
    assert seconds(LATENT, dataclasses.replace(call, drafts=1, acceptance=0.0), Layout(8)) > plain


def test_two_tensor_ranks_are_faster_than_one_but_not_twice_as_fast() -> None:
    one, two = seconds(DENSE, CALL, Layout()), seconds(DENSE, CALL, Layout(2))
    assert one / 2 < two < one


def test_stages_wait_for_each_pass_that_crosses_a_slow_network() -> None:
    """Twice as many passes of prompts wait twice as long, so that the network does not count once only."""

    def waited(requests: int) -> float:
        call, layout = Workload(2048, 1, requests=requests), Layout(1, 2)
        slow, fast = (context(DENSE, cluster=Cluster(2, 1, network)) for network in ("tcp", "nvlink"))
        found = [speed(own, predict(own.plan, layout), call).makespan for own in (slow, fast)]
        assert found[0] and found[1]
        return found[0].expected - found[1].expected

    sent = 64 * 2048 * 2 * 4096 * 2 / NETWORK_LINKS["tcp"].bandwidth
    assert waited(64) == pytest.approx(sent, rel=0.1)
    assert waited(128) == pytest.approx(2 * sent, rel=0.1)


def test_tensor_ranks_share_what_a_stage_sends() -> None:
    own = context(DENSE, cluster=Cluster(2, 2, "tcp"))
    one, two = (replica_of(own, predict(own.plan, layout)).stages for layout in (Layout(1, 2), Layout(2, 2)))
    assert (one.sent_bytes, two.sent_bytes) == (2 * 2 * 4096, 2 * 4096)


def test_two_stages_do_not_speed_up_a_single_request() -> None:
    call = Workload(512, 128, requests=1)
    assert seconds(DENSE, call, Layout(1, 2)) >= seconds(DENSE, call, Layout())


def test_tensor_parallelism_over_tcp_is_far_slower_than_over_nvlink() -> None:
    def over(network: str) -> float:
        own = context(DENSE, cluster=Cluster(2, 1, network, forced=True))
        found = speed(own, predict(own.plan, Layout(2)), Workload(512, 64, requests=1)).makespan
        assert found
        return found.expected

    assert over("tcp") > 2 * over("nvlink")


def test_requests_without_room_wait() -> None:
    assert ask(DENSE, CALL, Layout(), requests=8).running == 8
    assert seconds(DENSE, CALL, Layout(), requests=8) > 1.5 * seconds(DENSE, CALL, Layout())


def test_eager_code_is_slower() -> None:
    call = Workload(64, 64, requests=8)
    assert seconds(DENSE, call, Layout(), eager=True) > 2 * seconds(DENSE, call, Layout())


def test_more_requests_that_are_kept_running_give_more_tokens_and_wait_longer() -> None:
    few, many = (ask(DENSE, Workload(1000, 200, concurrency=count), Layout()) for count in (4, 64))
    assert many.rate.expected > few.rate.expected
    assert many.each.expected > few.each.expected


def test_a_rate_is_served_until_it_is_too_high() -> None:
    slow, fast = (ask(DENSE, Workload(1000, 200, rate=rate), Layout()) for rate in (1.0, 1000.0))
    assert not slow.overloaded
    assert slow.rate.expected == pytest.approx(200)
    assert fast.overloaded
    assert fast.rate.expected < 200_000
    assert not fast.holds()


@pytest.mark.parametrize("gpu", ["l40s", "a100", "mi300x", "gb300"])
def test_gpu_that_was_not_measured_has_a_wider_band(gpu: str) -> None:
    known, other = ask(DENSE, CALL, Layout()), ask(DENSE, CALL, Layout(), gpu)
    assert known.calibrated
    assert not other.calibrated
    assert other.each.high / other.each.expected > 1.3 > known.each.high / known.each.expected


def test_gpu_on_which_only_servers_were_measured_has_a_band_between() -> None:
    own, served, never = (ask(DENSE, CALL, Layout(), gpu) for gpu in ("h200", "h100", "a100"))
    widths = [found.each.high / found.each.expected for found in (own, served, never)]
    assert widths == sorted(widths)
    assert served.calibrated


@pytest.mark.parametrize("model", [DENSE, EXPERTS, LATENT, "openai/gpt-oss-20b", "Qwen/Qwen3-Next-80B-A3B-Instruct"])
@pytest.mark.parametrize(
    "workload",
    [CALL, Workload(2000, 1, requests=3), Workload(1, 1, requests=1), Workload(100, 100, rate=0.5, ttft=1.0, tpot=0.1)],
    ids=str,
)
def test_bands_of_all_layouts_are_finite_and_in_order(model: str, workload: Workload) -> None:
    own = context(model)
    found = speeds(own, predict_all(own.plan), workload)
    assert found
    for mine in found.values():
        for band in (mine.first, mine.each, mine.rate, *([mine.makespan] if mine.makespan else [])):
            assert 0 <= band.low <= band.expected <= band.high < math.inf
        assert mine.bound_by in BOUNDS


def test_layouts_that_hold_the_targets_come_first() -> None:
    own = context(DENSE)
    workload = Workload(1000, 200, concurrency=16, tpot=0.006)
    predictions = predict_all(own.plan)
    found = speeds(own, predictions, workload)
    order = [found[item.layout].holds() for item in ranked(predictions, found, 1) if item.layout in found]
    assert order == sorted(order, reverse=True)
    assert len(set(order)) == 2


def test_fewest_gpus_hold_the_targets_and_fewer_do_not() -> None:
    own = context(DENSE)
    enough = fewest(own, Workload(2000, 300, rate=20.0, ttft=1.0, tpot=0.03))
    assert enough
    assert 1 < enough.gpus <= 8
    assert enough.speed.holds()
    assert fewest(own, Workload(2000, 300, rate=2000.0, ttft=1.0, tpot=0.03)) is None
    one = fewest(own, Workload(2000, 300, rate=0.2, ttft=1.0, tpot=0.03))
    assert one
    assert one.gpus == 1


def test_speeds_of_64_gpus_are_predicted_in_milliseconds() -> None:
    import time

    own = context("deepseek-ai/DeepSeek-R1", "h200", Cluster(8, 8, "roce"))
    predictions = [item for item in predict_all(own.plan) if item.fits]
    begin = time.process_time()
    assert len(speeds(own, predictions, Workload(2000, 500, requests=64))) == len(predictions) > 20
    assert in_time((time.process_time() - begin) / len(predictions), 0.010)
