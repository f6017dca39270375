"""The parts of ``vmn bench`` that need no cluster: points, the Job, results, and two reports compared."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from kit.paths import CHECKOUT
from kit.render import render
from vmn.adapters.leaders import Leaders
from vmn.app.bench import Expectation, expectation
from vmn.bench_pod import __main__ as pod
from vmn.cli.measuring import KINDS_SAID
from vmn.core.bench.compare import NotComparable, differences
from vmn.core.bench.job import bench_run
from vmn.core.bench.points import PRESETS, Point, points
from vmn.core.bench.results import Measured, accepted, read_output, slowest_share
from vmn.core.bench.served import NotServed, Served, parsed, served
from vmn.core.planning.memory.activation import Band
from vmn.core.speed.workload import Speed, Workload
from vmn.report.bench import comparison

RESULT: dict[str, Any] = {
    "completed": 16,
    "failed": 0,
    "duration": 4.0,
    "total_input_tokens": 1024,
    "total_output_tokens": 800,
    "request_throughput": 4.0,
    "output_throughput": 200.0,
    "total_token_throughput": 456.0,
    "mean_ttft_ms": 100.0,
    "mean_tpot_ms": 10.0,
}
KEY = {"auth": {"apiKey": {"existingSecret": "vllm-key"}}}


def of_chart(values: dict[str, Any] | None = None) -> Served:
    rendered = render(values or {}, CHECKOUT / "values/deepseek-r1.yaml", namespace="serving").as_installed("serving")
    return served(rendered.one("LeaderWorkerSet"), rendered.all("Service"))


def job(found: Served, **more: Any) -> dict[str, Any]:
    run = bench_run(found, points(PRESETS["chat"], **more), ["http://10.0.0.1:8080/metrics"], "print()", "x7", 600)
    (only,) = run.objects
    return dict(only)


def container(of: dict[str, Any]) -> dict[str, Any]:
    (only,) = of["spec"]["template"]["spec"]["containers"]
    return dict(only)


@pytest.mark.parametrize("name", PRESETS)
def test_sweep_has_a_point_for_each_concurrency(name: str) -> None:
    found = points(PRESETS[name], repeats=2)
    assert [point.index for point in found] == list(range(2 * len(PRESETS[name].concurrency)))
    assert all(point.requests >= 4 * (point.concurrency or point.requests) for point in found)


def test_sizes_of_the_user_replace_those_of_the_preset() -> None:
    (point,) = points(PRESETS["chat"], 10, 20, (3,), 5)
    assert point == Point(0, 10, 20, 3, 5)


def test_rates_take_the_place_of_concurrency_and_of_the_number_of_requests() -> None:
    slow, fast = points(PRESETS["chat"], rates=(0.05, 2.5))
    assert (slow.concurrency, slow.requests, slow.load) == (None, 8, "0.05 per second")
    assert (fast.rate, fast.requests, fast.warmups, fast.most) == (2.5, 150, 8, 150)
    (limited,) = points(PRESETS["chat"], concurrency=(4,), rates=(2.0,), requests=20)
    assert (limited.load, limited.requests, limited.warmups) == ("2 per second, 4 at once at most", 20, 4)


def test_release_of_the_chart_is_understood() -> None:
    found = of_chart()
    assert (found.url, found.model) == ("http://vllm-leader.serving:8080", "deepseek-ai/DeepSeek-R1")
    assert (found.layout.tensor, found.layout.pipeline, found.nodes, found.groups) == (8, 2, 2, 1)


def test_set_without_a_service_is_no_release() -> None:
    lws = render(None, CHECKOUT / "values/deepseek-r1.yaml").as_installed("serving").one("LeaderWorkerSet")
    with pytest.raises(NotServed, match="Service is missing"):
        served(lws, [])


def test_release_with_a_port_per_replica_has_no_single_address() -> None:
    ports = {"data": 16, "tensor": 1, "pipeline": 1, "expert": True, "dataLoadBalancer": "external"}
    with pytest.raises(NotServed, match="has a port of its own"):
        of_chart({"parallelism": ports})
    assert of_chart({"parallelism": {**ports, "dataLoadBalancer": "hybrid"}}).layout.data == 16


def test_flags_are_parsed_with_and_without_values() -> None:
    model, flags = parsed(["a/b", "--enforce-eager", "--max-num-seqs", "8", "--x=1", "--names", "p", "q"])
    assert model == "a/b"
    assert flags == {"enforce-eager": "", "max-num-seqs": "8", "x": "1", "names": "p q"}


def test_job_asks_with_the_image_and_the_key_of_the_release_and_needs_no_gpu() -> None:
    found = of_chart(KEY)
    own = container(job(found))
    assert own["image"] == found.template["spec"]["containers"][0]["image"]
    key = next(item for item in own["env"] if item["name"] == "OPENAI_API_KEY")
    assert key["valueFrom"]["secretKeyRef"]["name"] == "vllm-key"
    assert "nvidia.com/gpu" not in json.dumps(own["resources"])
    assert not any(item["name"].startswith("NCCL_") for item in own["env"])
    settings = json.loads(next(item["value"] for item in own["env"] if item["name"] == "VMN_BENCH"))
    assert settings["url"] == found.url
    assert len(settings["points"]) == len(PRESETS["chat"].concurrency)


def test_each_measurement_of_each_run_has_prompts_of_its_own() -> None:
    found = of_chart()

    def seeds(suffix: str) -> set[int]:
        (made,) = bench_run(found, points(PRESETS["chat"], repeats=2), [], "", suffix, 600).objects
        settings = next(item["value"] for item in container(dict(made))["env"] if item["name"] == "VMN_BENCH")
        return {point["seed"] for point in json.loads(settings)["points"]}

    assert len(seeds("x7")) == 2 * len(PRESETS["chat"].concurrency)
    assert seeds("x7") == seeds("x7")
    assert seeds("x7").isdisjoint(seeds("x8"))


def test_job_has_no_key_when_the_release_has_none() -> None:
    assert "OPENAI_API_KEY" not in {item["name"] for item in container(job(of_chart()))["env"]}


def test_network_policy_of_the_release_lets_the_job_in_and_no_service_selects_it() -> None:
    labels = job(of_chart())["spec"]["template"]["metadata"]["labels"]
    documents = render(None, CHECKOUT / "values/deepseek-r1.yaml").documents
    policy = next(item for item in documents if item["kind"] == "NetworkPolicy")
    allowed = [
        peer["podSelector"].get("matchLabels") or {"none": ""}
        for rule in policy["spec"]["ingress"]
        for peer in rule["from"]
        if "podSelector" in peer
    ]
    assert any(wanted.items() <= labels.items() for wanted in allowed)
    for service in (item for item in documents if item["kind"] == "Service"):
        assert not service["spec"]["selector"].items() <= labels.items()


def test_pod_passes_every_size_to_vllm() -> None:
    settings = {"url": "http://x:1", "model": "m", "tokenizer": "/t", "metrics": [], "trust_remote_code": True}
    numbers = {"requests": 5, "warmups": 3, "seed": 7, "index": 0}
    point = {"prompt": 10, "answer": 20, "concurrency": 3, "rate": None, "prefix": 0, **numbers}
    words = pod.command(settings, point, "/out")
    given = dict(zip(words[3::2], words[4::2], strict=False))
    assert words[:3] == ["vllm", "bench", "serve"]
    for flag, value in {"input-len": "10", "output-len": "20"}.items():
        assert given[f"--random-{flag}"] == value
    assert given["--num-prompts"] == "5"
    assert given["--max-concurrency"] == "3"
    assert "--trust-remote-code" in words
    assert not {"--request-rate", "--random-prefix-len"} & set(words)
    words = pod.command(settings, {**point, "concurrency": None, "rate": 2.5, "prefix": 4}, "/out")
    assert [words[words.index(f"--random-{name}-len") + 1] for name in ("prefix", "input")] == ["4", "6"]
    assert words[words.index("--request-rate") + 1] == "2.5"
    assert "--max-concurrency" not in words


def test_pod_reads_counters_of_all_labels_and_the_tokens_of_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "metrics"
    file.write_text(
        'vllm:num_preemptions_total{engine="0"} 2.0\nvllm:num_preemptions_total{engine="1"} 1.0\n'
        'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0\nvllm:other{a="b"} 5\n'
        'vllm:request_success_total{finished_reason="stop"} 7.0\n'
        'vllm:request_success_total{finished_reason="length"} 9.0\n'
        'vllm:request_prompt_tokens_bucket{le="1.0"} 6.0\nvllm:request_prompt_tokens_bucket{le="2.0"} 8.0\n'
    )
    known = {"num_preemptions_total": 3.0, "kv_cache_tokens": 1600.0, "requests_ended": 10.0}
    assert pod.counters([file.as_uri()]) == known
    assert pod.counters([(tmp_path / "none").as_uri()]) == {}
    assert pod.cache_tokens('block_size="16",num_gpu_blocks="None"') == 0.0


def test_output_of_the_pod_is_read_as_far_as_it_is_whole() -> None:
    lines = [
        "INFO something",
        'VMN {"index": 0, "begins": true}',
        f"VMN {json.dumps({'index': 0, 'result': RESULT, 'counters': {'x': 1}})}",
        'VMN {"index": 1, "begins": true}',
        'VMN {"index": 1, "result": {"cut',
    ]
    found = read_output("\n".join(lines))
    assert (found.begun, list(found.results), found.error, found.rates) == (2, [0], "", {0: 200.0})
    assert read_output('VMN {"index": 0, "error": "no", "code": 1}').error == "no"


def speed(rate: float) -> Speed:
    def band(value: float) -> Band:
        return Band(value * 0.9, value, value * 1.1)

    return Speed(Workload(64, 50, concurrency=4), band(0.1), band(0.01), band(rate), None, "compute", 4, 1, True)


def measured(counters: dict[str, float] | None = None, rate: float = 250.0, **result: Any) -> Measured:
    point = Point(0, 64, 50, 4, 16)
    return Measured(point, {**RESULT, **result}, counters or {}, speed(rate), 1, 10_000)


@pytest.mark.parametrize(
    ("counters", "result", "words"),
    [
        ({"kv_cache_tokens": 5000.0}, {}, "5,000 tokens, not 10,000 as planned"),
        ({"num_preemptions_total": 3.0}, {}, "3 preemptions"),
        ({"prefix_cache_queries_total": 100.0, "prefix_cache_hits_total": 30.0}, {}, "30% of the prompts"),
        ({"request_queue_time_seconds_sum": 1.6, "request_queue_time_seconds_count": 16.0}, {}, "0.1 s in the queue"),
        ({}, {"failed": 2}, "2 requests failed"),
        (
            {"spec_decode_num_draft_tokens_total": 50.0, "spec_decode_num_accepted_tokens_total": 40.0},
            {},
            "80% of the drafts were accepted",
        ),
        ({"requests_ended": 23.0}, {}, "2 requests from other clients ran at the same time"),
    ],
)
def test_what_explains_a_deviation_is_said(counters: dict[str, float], result: dict[str, Any], words: str) -> None:
    assert words in ", ".join(measured(counters, **result).reasons())


def expected_of(**engine: Any) -> Expectation:
    found = expectation(Leaders(of_chart({"engine": engine}), (), "NVIDIA-H100-80GB-HBM3", {}, ()))
    assert isinstance(found, Expectation), found
    return found


def test_accepted_drafts_are_part_of_the_prediction() -> None:
    expected = expected_of(speculativeTokens=1)
    point = Point(0, 64, 50, 4, 16)
    rates = [expected.speed_of(point, share).rate.expected for share in (None, 0.0, 0.9)]
    assert rates[2] > rates[0] > rates[1]
    assert accepted({}) is None


def test_flags_of_the_release_are_part_of_the_prediction() -> None:
    plain, other = expected_of(), expected_of(args={"gpu-memory-utilization": 0.8, "max-cudagraph-capture-size": 768})
    assert other.prediction.tokens.expected < plain.prediction.tokens.expected
    assert (plain.context.graph_tokens, other.context.graph_tokens) == (None, 768)


def test_variables_of_the_release_are_part_of_the_prediction() -> None:
    triton, flashinfer = (expected_of(env={"VLLM_USE_FLASHINFER_SAMPLER": value}) for value in ("0", "1"))
    assert triton.prediction.tokens.expected > flashinfer.prediction.tokens.expected
    unreadable = of_chart({"engine": {"env": {"VLLM_USE_FLASHINFER_SAMPLER": "yes"}}})
    why = expectation(Leaders(unreadable, (), "NVIDIA-H100-80GB-HBM3", {}, ()))
    assert isinstance(why, str)
    assert "VLLM_USE_FLASHINFER_SAMPLER takes 0 or 1" in why


def at_rate(rate: float, limit: int | None = None, requests: int = 600) -> Speed:
    return expected_of().speed_of(Point(0, 1024, 256, limit, requests, rate=rate))


def test_rate_that_the_release_keeps_up_with_is_its_tokens_per_second_until_the_last_answer() -> None:
    short, long = at_rate(0.5, requests=8), at_rate(0.5)
    assert short.workload.rate == long.workload.rate == 0.5
    assert short.first.expected == pytest.approx(long.first.expected, rel=1e-3)  # the first prompt is sent three times
    assert short.each.expected == pytest.approx(long.each.expected, rel=1e-3)
    assert short.rate.expected < 0.9 * 0.5 * 256 < long.rate.expected < 0.5 * 256
    assert short.rate.low < short.rate.expected < short.rate.high < 0.5 * 256


def test_limit_decides_the_prediction_when_requests_come_faster_than_so_many_are_answered() -> None:
    free, idle, limited = at_rate(2.0), at_rate(2.0, 1000), at_rate(2.0, 2)
    assert free == idle
    assert limited == expected_of().speed_of(Point(0, 1024, 256, 2, 600))
    assert limited.rate.expected < free.rate.expected


def test_rate_beyond_the_release_is_said_to_let_the_queue_grow() -> None:
    flooded = at_rate(10_000.0)
    assert flooded.overloaded
    assert flooded.rate.expected == pytest.approx(at_rate(20_000.0).rate.expected)
    point = Point(0, 1024, 256, None, 600, rate=10_000.0)
    reasons = ", ".join(Measured(point, RESULT, {}, flooded).reasons())
    assert "the queue grows" in reasons
    few = replace(point, concurrency=2, rate=2.0)
    assert "that 2 requests always run" in ", ".join(Measured(few, RESULT, {}, at_rate(2.0, 2)).reasons())
    assert list(Measured(replace(point, rate=0.5), RESULT, {}, at_rate(0.5)).reasons()) == []


def test_nothing_is_explained_when_all_is_as_planned() -> None:
    counters = {
        "kv_cache_tokens": 9990.0,
        "num_preemptions_total": 0.0,
        "prefix_cache_queries_total": 100.0,
        "prefix_cache_hits_total": 1.0,
        "request_queue_time_seconds_sum": 0.01,
        "request_queue_time_seconds_count": 16.0,
        "requests_ended": 21.0,  # 16 that count, 4 of the warm-up, and the first one
    }
    assert list(measured(counters).reasons()) == []


def test_slowest_measurement_counts() -> None:
    assert slowest_share([measured(rate=250.0), measured(rate=400.0)]) == 0.5
    assert slowest_share([Measured(Point(0, 1, 1, 1, 1), RESULT)]) is None


def report(*rates: float, concurrency: int = 4) -> dict[str, Any]:
    point = {"prompt": 64, "answer": 50, "concurrency": concurrency}
    return {"points": [{"point": point, "result": {**RESULT, "output_throughput": rate}} for rate in rates]}


@pytest.mark.parametrize(
    ("one", "other", "real", "worse"),
    [
        (report(200, 201, 199), report(150, 151, 149), True, True),
        (report(200, 201, 199), report(250, 251, 249), True, False),
        (report(200, 240, 160), report(190, 230, 150), False, False),
        (report(200), report(203), False, False),
        (report(200), report(180), True, True),
    ],
)
def test_difference_counts_when_it_is_larger_than_the_noise(
    one: dict[str, Any], other: dict[str, Any], real: bool, worse: bool
) -> None:
    found = next(each for each in differences(one, other) if each.metric == "output_throughput")
    assert (found.is_real, found.is_worse) == (real, worse)


def test_longer_time_to_the_first_token_is_worse() -> None:
    slow = copy.deepcopy(report(200))
    slow["points"][0]["result"]["mean_ttft_ms"] = 300.0
    found = next(each for each in differences(report(200), slow) if each.metric == "mean_ttft_ms")
    assert found.is_worse


def at(report: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a report of the same sizes with a rate or the like."""
    other = copy.deepcopy(report)
    for entry in other["points"]:
        entry["point"].update(more)
    return other


def test_points_of_a_rate_are_compared_with_those_of_the_same_rate() -> None:
    slow = at(report(200), rate=2.0)
    assert {each.key for each in differences(slow, slow)} == {(64, 50, 4, 2.0, 0)}
    now = at(report(200), rate=None, prefix=0)  # reports of earlier versions have neither
    assert {each.key for each in differences(report(200), now)} == {(64, 50, 4, None, 0)}
    shared = at(report(200), prefix=32)
    assert "64 + 50, 32 shared" in comparison(differences(shared, shared))
    assert "2 per second, 4 at once at most" in comparison(differences(slow, slow))


@pytest.mark.parametrize(
    "other",
    [
        report(200, concurrency=8),
        *(at(report(200), rate=2.0), at(report(200), prefix=32)),
        *({}, {"points": []}, {"points": [{}]}),
    ],
)
def test_reports_without_a_common_point_are_not_compared(other: dict[str, Any]) -> None:
    with pytest.raises(NotComparable):
        differences(report(200), other)


def test_help_names_the_tokens_and_the_concurrency_of_every_preset() -> None:
    presets = re.findall(r"([a-z-]+) \((\d+)[a-z ]* and (\d+)[a-z ]*, at [a-z ]*([^)]*)\)", KINDS_SAID)
    said = {
        name: (int(prompt), int(answer), tuple(int(number) for number in re.findall(r"\d+", concurrency)))
        for name, prompt, answer, concurrency in presets
    }
    assert said == {name: (kind.prompt, kind.answer, kind.concurrency) for name, kind in PRESETS.items()}
