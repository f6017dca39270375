"""Each alert with series on which it fires and series on which it must not, checked by promtool."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.documents.markdown import anchors
from kit.paths import CHECKOUT
from kit.promtool import promtool, severities, told
from kit.render import render, yaml_of
from kit.schemas import Document

pytestmark = pytest.mark.slow
VALUES = {
    "model": {"name": "deepseek-ai/DeepSeek-R1"},
    "group": {"replicas": 2, "inPlaceRestart": {"enabled": True}},
    "startup": {"budgetSeconds": 600},
    "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True, "alertLabels": {"team": "inference"}}},
}
GUIDE = CHECKOUT / "docs" / "observability.md"


def of(metric: str, group: int = 0, **labels: str) -> str:
    """Return the name of a series that the PodMonitor collects."""
    known = {"namespace": "default", "job": "vllm", "group": str(group), "pod": f"vllm-{group}", **labels}
    matchers = ",".join(f'{name}="{value}"' for name, value in known.items())
    return f"{metric}{{{matchers}}}"


def engine(metric: str, **labels: str) -> str:
    """Return the name of a series of vLLM itself."""
    return of(f"vllm:{metric}", 0, **{"engine": "0", "model_name": "r1", **labels})


def created(uid: str, pod: str = "vllm-0", instance: str = "a") -> str:
    """Return the name of a series of kube-state-metrics."""
    return f'kube_pod_created{{namespace="default",pod="{pod}",uid="{uid}",instance="{instance}"}}'


def first_tokens(count: str, in_time: str) -> dict[str, str]:
    """Return the series of the histogram that count."""
    return {
        engine("time_to_first_token_seconds_count"): count,
        engine("time_to_first_token_seconds_bucket", le="10.0"): in_time,
        engine("time_to_first_token_seconds_bucket", le="20.0"): count,
    }


def gpu(metric: str, number: int = 0, pod: str = "vllm-0", **labels: str) -> str:
    """Return the name of a series of the DCGM exporter, whose labels Prometheus has renamed."""
    own = {"exported_namespace": "default", "exported_pod": pod, "gpu": str(number), **labels}
    known = {"namespace": "gpu-operator", "pod": "nvidia-dcgm-exporter-x", **own}
    matchers = ",".join(f'{name}="{value}"' for name, value in known.items())
    return f"DCGM_{metric}{{{matchers}}}"


def honored(name: str) -> str:
    """Return the name of such a series with the exporter's own labels."""
    return name.replace('namespace="gpu-operator",pod="nvidia-dcgm-exporter-x",', "").replace("exported_", "")


def clocks(slow: str, *, busy: str = "99", pod: str = "vllm-0-1") -> dict[str, str]:
    """Return the series of a group's eight busy GPUs, of which one has a clock and a utilization of its own."""
    pods = [(one, number) for one in ("vllm-0", "vllm-0-1") for number in range(4)]
    found = {gpu("FI_DEV_SM_CLOCK", number, one): "1980x60" for one, number in pods}
    found |= {gpu("FI_DEV_GPU_UTIL", number, one): "99x60" for one, number in pods}
    return found | {gpu("FI_DEV_SM_CLOCK", 3, pod): f"{slow}x60", gpu("FI_DEV_GPU_UTIL", 3, pod): f"{busy}x60"}


EVENTS = "EXP_CLOCK_EVENTS_COUNT"
TOKENS, PROMPTS = engine("generation_tokens_total"), engine("prompt_tokens_total")
RUNNING = engine("num_requests_running")


@dataclass(frozen=True)
class Case:
    """Series, and the severities that an alert must have at a given time."""

    alert: str
    what: str
    series: Mapping[str, str]
    at: str
    severities: frozenset[str] = frozenset()


WARNS, CRIES = frozenset({"warning"}), frozenset({"critical"})
CASES = [
    Case("VllmDown", "nothing is there", {}, "6m", CRIES),
    Case("VllmDown", "no leader answers", {of("up"): "0x20", of("up", 1): "0x20"}, "6m", CRIES),
    Case("VllmDown", "not for long", {of("up"): "1x10 0x8"}, "9m"),
    Case("VllmDown", "one group serves", {of("up"): "0x20", of("up", 1): "1x20"}, "6m"),
    Case("VllmDown", "another release serves", {of("up", job="other"): "1x20"}, "6m", CRIES),
    Case("VllmGroupDown", "one of two", {of("up"): "1x40", of("up", 1): "0x40"}, "16m", WARNS),
    Case("VllmGroupDown", "both serve", {of("up"): "1x40", of("up", 1): "1x40"}, "16m"),
    Case(
        "VllmGroupRecreated",
        "three times",
        {created("a"): "1x5", created("b"): "_x10 2x5", created("c"): "_x20 3x5", created("d"): "_x30 4x5"},
        "18m",
        WARNS,
    ),
    Case(
        "VllmGroupRecreated", "twice", {created("a"): "1x5", created("b"): "_x9 2x5", created("c"): "_x20 3x9"}, "14m"
    ),
    Case("VllmGroupRecreated", "long ago", {created(uid): f"{n}x4" for n, uid in enumerate("abcde")}, "65m"),
    Case("VllmGroupRecreated", "workers", {created(uid, "vllm-0-1"): "1x30" for uid in "abcde"}, "10m"),
    Case("VllmGroupRecreated", "one pod, told by many", {created("a", instance=one): "1x30" for one in "abcde"}, "10m"),
    Case("VllmRestartedInPlace", "twice", {of("process_start_time_seconds"): "10x9 _x4 90x9 _x4 170x9"}, "16m", WARNS),
    Case("VllmRestartedInPlace", "once", {of("process_start_time_seconds"): "10x9 _x4 90x9"}, "8m"),
    Case("VllmRestartedInPlace", "long ago", {of("process_start_time_seconds"): "10x9 90x9 170x300"}, "90m"),
    Case("VllmRestartedInPlace", "several API servers", {TOKENS: "9+9x9 _x4 0+9x9 _x4 0+9x9"}, "16m", WARNS),
    Case(
        "VllmRestartedInPlace",
        "recreated",
        {of("process_start_time_seconds", instance=one): f"{n}x4" for n, one in enumerate("abcd")},
        "8m",
    ),
    Case("VllmLoadingTooLong", "0.8 of 600 s", {of("up"): "0x30"}, "9m", WARNS),
    Case("VllmLoadingTooLong", "recreated in between", {of("up"): "0x9 _x12 0x9"}, "14m"),
    Case("VllmLoadingTooLong", "serves in time", {of("up"): "0x12 1x20"}, "9m"),
    Case("VllmStalled", "no token", {RUNNING: "2x20", TOKENS: "100x20", PROMPTS: "50x20"}, "6m", CRIES),
    Case("VllmStalled", "tokens", {RUNNING: "2x20", TOKENS: "100+9x20", PROMPTS: "50x20"}, "6m"),
    Case("VllmStalled", "a long prompt", {RUNNING: "1x20", TOKENS: "100x20", PROMPTS: "50+512x20"}, "6m"),
    Case("VllmStalled", "idle", {RUNNING: "0x20", TOKENS: "100x20", PROMPTS: "50x20"}, "6m"),
    Case("VllmKvCacheFull", "full", {engine("kv_cache_usage_perc"): "0.96x40"}, "12m", WARNS),
    Case("VllmKvCacheFull", "a peak", {engine("kv_cache_usage_perc"): "0.96x10 0.5x2 0.96x30"}, "12m"),
    Case("VllmQueue", "51 wait", {engine("num_requests_waiting"): "51x40"}, "12m", WARNS),
    Case("VllmQueue", "50 wait", {engine("num_requests_waiting"): "50x40"}, "12m"),
    Case("VllmGpuSlow", "one at half the clock", clocks("990"), "20m", WARNS),
    Case("VllmGpuSlow", "with the exporter's labels", {honored(k): v for k, v in clocks("990").items()}, "20m", WARNS),
    Case("VllmGpuSlow", "at the power cap", clocks("1455"), "20m"),
    Case("VllmGpuSlow", "idle", clocks("345", busy="0"), "20m"),
    Case("VllmGpuSlow", "not for long", clocks("990"), "9m"),
    Case("VllmGpuSlow", "of another release", clocks("990", pod="other-0"), "20m"),
    Case("VllmGpuThrottled", "too hot", {gpu(EVENTS, clock_event="hw_thermal"): "9x60"}, "12m", WARNS),
    Case("VllmGpuThrottled", "the power cap", {gpu(EVENTS, clock_event="power_cap"): "9x60"}, "12m"),
    Case("VllmGpuThrottled", "over", {gpu(EVENTS, clock_event="hw_thermal"): "9x8 0x60"}, "12m"),
    Case("VllmGpuError", "off the bus", {gpu("FI_DEV_XID_ERRORS"): "0x5 79x20"}, "6m", CRIES),
    Case("VllmGpuError", "with the exporter's labels", {honored(gpu("FI_DEV_XID_ERRORS")): "79x20"}, "6m", CRIES),
    Case("VllmGpuError", "a program's error", {gpu("FI_DEV_XID_ERRORS"): "0x5 43x20"}, "6m"),
    Case("VllmGpuError", "none", {gpu("FI_DEV_XID_ERRORS"): "0x20"}, "6m"),
    Case("VllmFirstTokenLate", "all late", first_tokens("0+10x800", "0x800"), "65m", CRIES | WARNS),
    Case("VllmFirstTokenLate", "40 of 100 late", first_tokens("0+10x800", "0+6x800"), "65m", WARNS),
    Case("VllmFirstTokenLate", "1 of 100 late", first_tokens("0+100x800", "0+99x800"), "65m"),
    Case("VllmFirstTokenLate", "it is over", first_tokens("0+10x800", "0x100 0+10x700"), "80m"),
    Case("VllmFirstTokenLate", "no requests", first_tokens("0x800", "0x800"), "65m"),
]


@pytest.fixture(scope="module")
def rule() -> Document:
    """Render the alerts."""
    return render(VALUES).one("PrometheusRule")


def alerts(rule: Document) -> Iterator[Document]:
    """Yield the alerts."""
    for group in rule["spec"]["groups"]:
        yield from (entry for entry in group["rules"] if "alert" in entry)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}, {case.what}")
def test_alert_fires_only_on_its_own_condition(case: Case, rule: Document, tmp_path: Path) -> None:
    assert severities(tmp_path, rule, case.alert, case.series, case.at) == case.severities


def test_every_alert_has_a_case_that_fires_and_one_that_does_not(rule: Document) -> None:
    names = {entry["alert"] for entry in alerts(rule)}
    assert {case.alert for case in CASES if case.severities} == names
    assert {case.alert for case in CASES if not case.severities} == names


def test_alert_names_release_group_and_runbook(rule: Document, tmp_path: Path) -> None:
    series = {RUNNING: "2x20", TOKENS: "100x20", PROMPTS: "50x20"}
    labels = {"namespace": "default", "job": "vllm", "group": "0", "engine": "0"}
    expected = {
        "labels": {**labels, "severity": "critical", "team": "inference"},
        "annotations": {
            "summary": "default/vllm: group 0 has running requests but has produced no token for 120 s.",
            "runbook_url": "https://github.com/vllm-multinode/vllm-multinode/blob/main/docs/observability.md#vllmstalled",
        },
    }
    assert told(tmp_path, rule, "VllmStalled", series, "6m", expected) == ""
    expected["annotations"]["summary"] = "something else"
    assert "something else" in told(tmp_path, rule, "VllmStalled", series, "6m", expected)


def test_alert_names_the_slow_gpu(rule: Document, tmp_path: Path) -> None:
    where = {"namespace": "default", "job": "vllm", "group": "0", "pod": "vllm-0-1", "gpu": "3"}
    expected = {
        "labels": {**where, "severity": "warning", "team": "inference"},
        "annotations": {
            "summary": "default/vllm: GPU 3 of vllm-0-1 runs at 990 MHz, below the others of its group.",
            "runbook_url": "https://github.com/vllm-multinode/vllm-multinode/blob/main/docs/observability.md#vllmgpuslow",
        },
    }
    assert told(tmp_path, rule, "VllmGpuSlow", clocks("990"), "20m", expected) == ""


def test_promtool_accepts_the_rules(rule: Document, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml_of(rule["spec"]), encoding="utf-8")
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_section_in_the_guide(rule: Document) -> None:
    pages = {entry["annotations"]["runbook_url"].partition("#")[2] for entry in alerts(rule)}
    assert pages == {entry["alert"].lower() for entry in alerts(rule)}
    assert pages <= anchors(GUIDE.read_text(encoding="utf-8"))


def test_alerts_link_to_the_users_runbook_when_it_is_set() -> None:
    values = {
        **VALUES,
        "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True, "runbookUrl": "https://w.example"}},
    }
    own = render(values).one("PrometheusRule")
    assert {entry["annotations"]["runbook_url"] for entry in alerts(own)} >= {"https://w.example#vllmdown"}


def test_group_down_alert_is_left_out_when_an_autoscaler_sets_the_number() -> None:
    def names(replicas: int | None) -> set[str]:
        return {
            entry["alert"]
            for entry in alerts(render({**VALUES, "group": {"replicas": replicas}}).one("PrometheusRule"))
        }

    assert "VllmGroupDown" not in names(None)
    assert "VllmDown" in names(None)
    assert names(0) == names(None) - {"VllmDown"}


@pytest.mark.parametrize(("most", "limit"), [(3, 1), (1, 0), (None, None)])
def test_alert_about_restarts_in_place_can_fire_if_they_are_enabled(most: int | None, limit: int | None) -> None:
    group = {"inPlaceRestart": {"enabled": most is not None, "maxRestarts": most or 3, "windowSeconds": 7200}}
    rendered = render({**VALUES, "group": group}).one("PrometheusRule")
    found = [entry["expr"] for entry in alerts(rendered) if entry["alert"] == "VllmRestartedInPlace"]
    assert [text.endswith(f") > {limit}") and "[7200s]" in text for text in found] == [True] * (most is not None)


def test_expressions_select_only_this_release(rule: Document) -> None:
    text = yaml_of(rule["spec"])
    selectors = re.findall(
        r"\b(?:vllm:\w+|vllm_multinode:[\w:]+|up|process_start_time_seconds|kube_pod_created|DCGM_\w+)\{([^}]*)\}",
        text.replace('\\"', '"'),
    )
    assert selectors
    assert [
        one for one in selectors if 'namespace="default"' not in one or not re.search('(job="|pod=~")vllm', one)
    ] == []
