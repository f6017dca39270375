"""The dashboard: it passes a linter, Prometheus parses its queries, and Grafana's sidecar finds its ConfigMap."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chartfiles.dashboard import dashboard_json
from kit.dashboardlint import problems
from kit.paths import CHART
from kit.prometheus import dashboard_of, queries
from kit.promtool import evaluated, syntax_errors
from kit.render import render
from kit.schemas import Document

FILE = CHART / "dashboards" / "vllm-multinode.json"
MODEL = {"name": "deepseek-ai/DeepSeek-R1"}
VARIABLES = {"namespace": "default", "job": "vllm", "group": ".*", "__rate_interval": "1m"}


@pytest.fixture(scope="module")
def dashboard() -> Document:
    """Return the dashboard as the generator writes it."""
    loaded: Document = json.loads(dashboard_json())
    return loaded


def graphics(dashboard: Document) -> list[Document]:
    """Return the panels without the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_dashboard_passes_the_linter(dashboard: Document) -> None:
    assert problems(dashboard) == []


def test_panels_do_not_overlap(dashboard: Document) -> None:
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.slow
def test_prometheus_parses_every_query(dashboard: Document, tmp_path: Path) -> None:
    texts = [*queries(dashboard, **VARIABLES).values()]
    assert len(texts) >= len(graphics(dashboard))
    assert syntax_errors(tmp_path, texts) == ""
    assert "parse error" in syntax_errors(tmp_path, [*texts, "sum(up"])


@pytest.mark.slow
@pytest.mark.parametrize(("second", "serving"), [(1, 2), (0, 1)], ids=["all respond", "one does not"])
def test_group_serves_while_all_of_its_servers_respond(
    dashboard: Document, tmp_path: Path, second: int, serving: int
) -> None:
    up = 'up{{namespace="default",job="vllm",group="{group}",pod="{pod}"}}'
    series = {
        up.format(group=0, pod="vllm-0"): "1x4",
        up.format(group=0, pod="vllm-0-1"): f"{second}x4",
        up.format(group=1, pod="vllm-1"): "1x4",
    }
    asked = queries(dashboard, **VARIABLES)
    assert evaluated(tmp_path, asked["Serving groups A"], series, "1m", {"{}": serving}) == ""
    groups = {'{group="0"}': second, '{group="1"}': 1}
    assert evaluated(tmp_path, asked["Serving A"], series, "1m", groups) == ""
    assert "exp:" in evaluated(tmp_path, asked["Serving A"], series, "1m", {**groups, '{group="2"}': 1})


def _drop(*path: str) -> Callable[[Document], None]:
    def spoil(dashboard: Document) -> None:
        here: Any = graphics(dashboard)[-1]
        for key in path[:-1]:
            here = here[key]
        del here[path[-1]]

    return spoil


def _expression(text: str) -> Callable[[Document], None]:
    def spoil(dashboard: Document) -> None:
        graphics(dashboard)[-1]["targets"][0]["expr"] = text

    return spoil


def _variable(called: str, **fields: object) -> Callable[[Document], None]:
    def spoil(dashboard: Document) -> None:
        (entry,) = (entry for entry in dashboard["templating"]["list"] if entry["name"] == called)
        entry.update(fields)

    return spoil


JOB = '{job=~"$job"}'


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("panel-title-description-rule", _drop("description")),
        ("panel-datasource-rule", _drop("datasource")),
        ("panel-units-rule", _drop("fieldConfig", "defaults", "unit")),
        ("panel-no-targets-rule", _drop("targets")),
        ("target-promql-rule", _expression(" ")),
        ("target-rate-interval-rule", _expression(f"rate(vllm:x_total{JOB}[5m])")),
        ("target-job-rule", _expression("vllm:num_requests_running")),
        ("target-job-rule", _expression('DCGM_FI_DEV_GPU_UTIL{namespace="$namespace"}')),
        ("target-counter-agg-rule", _expression(f"vllm:prompt_tokens_total{JOB}")),
        ("template-datasource-rule", _variable("datasource", query="loki")),
        ("template-datasource-rule", _variable("group", datasource={"uid": "mine"})),
        ("template-job-rule", _variable("job", name="release")),
        ("template-on-time-change-reload-rule", _variable("group", refresh=1)),
        ("uneditable-dashboard-rule", lambda dashboard: dashboard.update(editable=True)),
    ],
)
def test_linter_finds_violations_of_its_rules(
    rule: str, spoil: Callable[[Document], None], dashboard: Document
) -> None:
    bad = copy.deepcopy(dashboard)
    spoil(bad)
    assert {line.partition(":")[0] for line in problems(bad)} == {rule}


def test_configmap_has_the_dashboard_and_the_labels_of_the_sidecar() -> None:
    values = {"dashboard": {"enabled": True, "annotations": {"grafana_folder": "Models"}}}
    config = render({"model": MODEL, "monitoring": values}).one("ConfigMap", "vllm-dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config["metadata"]["annotations"] == {"grafana_folder": "Models"}
    assert dashboard_of(config) == json.loads(FILE.read_text(encoding="utf-8"))
