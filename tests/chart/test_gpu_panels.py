"""The dashboard's GPU panels over recorded metrics of the DCGM exporter, in a real Prometheus."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chartfiles.dashboard import dashboard_json
from chartfiles.gpu_panels import GPU_PANELS
from kit.dcgmexporter import RECORDED, exposition, scraped
from kit.progress import wait_until
from kit.prometheus import Prometheus, queries, running
from kit.render import render

pytestmark = pytest.mark.slow
PODS = ["vllm-0", "vllm-0-1", "vllm-1", "vllm-1-1"]
OTHERS = ["vllm-b-0", "vllm-b-0-1", "other-0"]
"""Pods of other releases, one of which has a name that begins with this one's."""
CHOSEN = {"namespace": "serving", "job": "vllm", "group": ".*", "__rate_interval": "20s"}
TITLES = [panel.title for panel in GPU_PANELS]
LIMIT = 30
"""Seconds until the first scrape."""
WATCHED = {
    "model": {"name": "deepseek-ai/DeepSeek-R1"},
    "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}},
}
RATES = {"NVLink": 118273 * 1024 * 1000, "Clock": 1455e6, "Power": 695.0, "GPU utilization": 0.99, "XID": 0.0}
"""What a panel shows of the first GPU: DCGM's NVLink counter is a rate, in 1000 KiB per second."""


@pytest.fixture(scope="module", params=[False, True], ids=["exported_pod", "honorLabels"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Run Prometheus, which renames the exporter's labels or keeps them, with the rules of the release."""
    folder = tmp_path_factory.mktemp("prometheus")
    rules = render(WATCHED, namespace="serving").one("PrometheusRule")
    with (
        scraped(exposition([*PODS, *OTHERS], "serving"), honor_labels=request.param) as scrape,
        running(folder, [scrape], rules, 1) as prometheus,
    ):
        wait_until("metrics", lambda: bool(prometheus.query("DCGM_FI_DEV_GPU_UTIL")), LIMIT, period=0.2)
        yield prometheus


def shown(server: Prometheus, title: str, **chosen: str) -> dict[tuple[str, str], float]:
    """Return the values of a panel by pod and GPU."""
    (query,) = (
        text
        for name, text in queries(json.loads(dashboard_json()), **{**CHOSEN, **chosen}).items()
        if name == f"{title} A"
    )
    series = server.query(query)
    found = {(one["metric"]["pod"], one["metric"]["gpu"]): float(one["value"][1]) for one in series}
    assert len(found) == len(series)
    return found


@pytest.mark.parametrize("title", TITLES)
def test_panel_shows_every_gpu_of_the_release_and_no_other(title: str, server: Prometheus) -> None:
    found = shown(server, title)
    assert set(found) == {(pod, gpu) for pod in PODS for gpu in ("0", "1")}
    assert all(math.isfinite(value) for value in found.values())
    if title in RATES:
        assert math.isclose(found["vllm-0", "0"], RATES[title])


@pytest.mark.parametrize(
    ("group", "pods"), [("1", PODS[2:]), ("(0|1)", PODS), ("7", [])], ids=["one", "several", "none"]
)
def test_panel_shows_the_chosen_groups(group: str, pods: list[str], server: Prometheus) -> None:
    assert {pod for pod, _ in shown(server, "Power", group=group)} == set(pods)


def test_panel_is_empty_in_another_namespace(server: Prometheus) -> None:
    assert shown(server, "Power", namespace="default") == {}


def test_rules_record_the_clocks_of_busy_gpus_by_group(server: Prometheus) -> None:
    name = 'vllm_multinode:gpu_busy_clock_mhz:avg5m{namespace="serving",job="vllm"}'
    wait_until("recorded clocks", lambda: len(server.query(name)) == 8, LIMIT, period=0.2)
    labels = [one["metric"] for one in server.query(name)]
    assert {(one["pod"], one["group"]) for one in labels} == {
        **{("vllm-0", "0"): 1, ("vllm-0-1", "0"): 1, ("vllm-1", "1"): 1, ("vllm-1-1", "1"): 1}
    }.keys()
    assert server.firing() & {"VllmGpuSlow", "VllmGpuThrottled", "VllmGpuError"} == set()


def test_panels_use_only_metrics_of_the_recording() -> None:
    text = RECORDED.read_text(encoding="utf-8")
    recorded = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    used = {name for panel in GPU_PANELS for query in panel.queries.values() for name in re.findall(r"DCGM_\w+", query)}
    assert used
    assert used <= recorded
    assert all(text.count(f"\n{name}{{") == 2 for name in used), "two GPUs"


def test_exporter_without_pods_shows_nothing(tmp_path: Path) -> None:
    text = re.sub(r',container="[^"]*",namespace="[^"]*",pod="[^"]*"', "", exposition(["vllm-0"], "serving"))
    rules = render(WATCHED, namespace="serving").one("PrometheusRule")
    with scraped(text, honor_labels=False) as scrape, running(tmp_path, [scrape], rules, 1) as prometheus:
        wait_until("metrics", lambda: bool(prometheus.query("DCGM_FI_DEV_GPU_UTIL")), LIMIT, period=0.2)
        assert shown(prometheus, "Power") == {}
