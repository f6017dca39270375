"""The parts of ``vmn bench`` that need no cluster: points, the Job, results, and two reports compared."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from kit.paths import CHECKOUT
from kit.render import render
from vmn.bench_pod import __main__ as pod
from vmn.core.bench.compare import NotComparable, differences
from vmn.core.bench.job import bench_run
from vmn.core.bench.points import PRESETS, Point, points
from vmn.core.bench.results import Measured, read_output, slowest_share
from vmn.core.bench.served import NotServed, Served, parsed, served
from vmn.core.planning.memory.activation import Band
from vmn.core.speed.workload import Speed, Workload

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
    assert all(point.requests >= 4 * point.concurrency for point in found)


def test_sizes_of_the_user_replace_those_of_the_preset() -> None:
    (point,) = points(PRESETS["chat"], 10, 20, (3,), 5)
    assert point == Point(0, 10, 20, 3, 5)


def test_release_of_the_chart_is_understood() -> None:
    found = of_chart()
    assert (found.url, found.model) == ("http://vllm-leader.serving:8080", "deepseek-ai/DeepSeek-R1")
    assert (found.layout.tensor, found.layout.pipeline, found.nodes, found.groups) == (8, 2, 2, 1)


def test_set_without_a_service_is_no_release() -> None:
    lws = render(None, CHECKOUT / "values/deepseek-r1.yaml").as_installed("serving").one("LeaderWorkerSet")
    with pytest.raises(NotServed, match="Service is missing"):
        served(lws, [])


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
    point = {"prompt": 10, "answer": 20, "concurrency": 3, "requests": 5, "seed": 7, "index": 0}
    words = pod.command(settings, point, "/out")
    given = dict(zip(words[3::2], words[4::2], strict=False))
    assert words[:3] == ["vllm", "bench", "serve"]
    for flag, value in {"input-len": "10", "output-len": "20"}.items():
        assert given[f"--random-{flag}"] == value
    assert given["--num-prompts"] == "5"
    assert given["--max-concurrency"] == "3"
    assert "--trust-remote-code" in words


def test_pod_reads_counters_of_all_labels_and_the_tokens_of_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "metrics"
    file.write_text(
        'vllm:num_preemptions_total{engine="0"} 2.0\nvllm:num_preemptions_total{engine="1"} 1.0\n'
        'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0\nvllm:other{a="b"} 5\n'
    )
    assert pod.counters([file.as_uri()]) == {"num_preemptions_total": 3.0, "kv_cache_tokens": 1600.0}
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
    ],
)
def test_what_explains_a_deviation_is_said(counters: dict[str, float], result: dict[str, Any], words: str) -> None:
    assert words in ", ".join(measured(counters, **result).reasons())


def test_nothing_is_explained_when_all_is_as_planned() -> None:
    counters = {
        "kv_cache_tokens": 9990.0,
        "num_preemptions_total": 0.0,
        "prefix_cache_queries_total": 100.0,
        "prefix_cache_hits_total": 1.0,
        "request_queue_time_seconds_sum": 0.01,
        "request_queue_time_seconds_count": 16.0,
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


@pytest.mark.parametrize("other", [report(200, concurrency=8), {}, {"points": []}, {"points": [{}]}])
def test_reports_without_a_common_point_are_not_compared(other: dict[str, Any]) -> None:
    with pytest.raises(NotComparable):
        differences(report(200), other)
