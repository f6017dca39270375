"""A real Prometheus over what the chart renders, in the place of the operator that would run one."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kit.cluster import background
from kit.poddiscovery import META, sanitized
from kit.render import yaml_of
from kit.schemas import Document
from kit.scripts import free_port
from localcluster.monitoring import prometheus

LIMIT = 10
"""Seconds for an answer."""
POD_LABEL = f"{META}_pod_label_"
Series = dict[str, Any]
"""One result of a query: its labels under ``metric``, and a value or values."""


class NotUnderstood(AssertionError):  # noqa: N818 - reads as what happened
    """A field of a PodMonitor that this module can't put into Prometheus' words."""


@dataclass(frozen=True)
class Prometheus:
    """A server that runs."""

    url: str

    def query(self, expression: str) -> list[Series]:
        """Return the series of an expression now."""
        found: list[Series] = self._ask("query", query=expression)["result"]
        return found

    def course(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Return the series of an expression over a time; all in seconds, since the epoch."""
        found: list[Series] = self._ask("query_range", query=expression, start=start, end=end, step=step)["result"]
        return found

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self._ask("alerts")["alerts"] if alert["state"] == "firing"}

    def healthy_targets(self) -> int:
        """Return how many targets were scraped well the last time."""
        return sum(target["health"] == "up" for target in self._ask("targets", state="active")["activeTargets"])

    def _ask(self, what: str, **options: object) -> Any:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(options)}"
        try:
            with urllib.request.urlopen(url, timeout=LIMIT) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{what} {options}: {error.read().decode()}") from error


@contextmanager
def running(directory: Path, scrapes: Sequence[Document], rules: Document, seconds: int) -> Iterator[Prometheus]:
    """Run Prometheus on a free port of this machine.

    Args:
        directory: an empty one.
        scrapes: scrape configurations.
        rules: a PrometheusRule.
        seconds: between two evaluations.

    Raises:
        ProgramFailed: it does not start.
    """
    directory.joinpath("rules.yaml").write_text(yaml_of(rules["spec"]), encoding="utf-8")
    config = {
        "global": {"scrape_interval": f"{seconds}s", "evaluation_interval": f"{seconds}s"},
        "rule_files": [str(directory / "rules.yaml")],
        "scrape_configs": list(scrapes),
    }
    directory.joinpath("prometheus.yaml").write_text(yaml_of(config), encoding="utf-8")
    port = free_port()
    command = [
        str(prometheus() / "prometheus"),
        f"--config.file={directory / 'prometheus.yaml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with background(*command, ready="Server is ready to receive web requests", limit=60):
        yield Prometheus(f"http://127.0.0.1:{port}")


def scrape(monitor: Document, pods: Path) -> Document:
    """Return the scrape configuration that the Prometheus operator makes of a PodMonitor, as far as the chart's goes.

    It follows the operator's generatePodMonitorConfig (pkg/prometheus/promcfg.go): the same labels in the same order.

    Args:
        monitor: the PodMonitor.
        pods: file with the pods of its namespace, as ``kit.poddiscovery`` writes it.

    Raises:
        NotUnderstood: the PodMonitor has a field that is not put into Prometheus' words here.
    """
    spec = monitor["spec"]
    _only(spec, {"jobLabel", "selector", "podMetricsEndpoints"})
    _only(spec["selector"], {"matchLabels"})
    (endpoint,) = spec["podMetricsEndpoints"]
    _only(endpoint, {"port", "path", "interval", "relabelings"})
    return {
        "job_name": f"podMonitor/{monitor['metadata']['namespace']}/{monitor['metadata']['name']}/0",
        "metrics_path": endpoint["path"],
        "scrape_interval": endpoint["interval"],
        "scrape_timeout": endpoint["interval"],
        "file_sd_configs": [{"files": [str(pods)]}],
        "relabel_configs": [*_relabelings(spec, endpoint)],
    }


def _relabelings(spec: Mapping[str, Any], endpoint: Mapping[str, Any]) -> Iterator[Document]:
    yield {"source_labels": [f"{META}_pod_phase"], "regex": "(Failed|Succeeded)", "action": "drop"}
    for label, value in spec["selector"]["matchLabels"].items():
        name = POD_LABEL + sanitized(label)
        sources = [name, name.replace("_label_", "_labelpresent_")]
        yield {"source_labels": sources, "regex": f"({value});true", "action": "keep"}
    port = f"{META}_pod_container_port_name"
    yield {"source_labels": [port], "regex": endpoint["port"], "action": "keep"}
    for source, target in {"namespace": "namespace", "pod_container_name": "container", "pod_name": "pod"}.items():
        yield {"source_labels": [f"{META}_{source}"], "target_label": target}
    job = POD_LABEL + sanitized(spec["jobLabel"])
    yield {"source_labels": [job], "regex": "(.+)", "replacement": "${1}", "target_label": "job"}
    yield {"replacement": endpoint["port"], "target_label": "endpoint"}
    for relabeling in endpoint["relabelings"]:
        _only(relabeling, {"sourceLabels", "targetLabel"})
        yield {"source_labels": relabeling["sourceLabels"], "target_label": relabeling["targetLabel"]}


def _only(fields: Mapping[str, Any], known: set[str]) -> None:
    if set(fields) - known:
        raise NotUnderstood(f"{sorted(set(fields) - known)} of a PodMonitor: teach it to kit/prometheus.py")


def queries(dashboard: Document, **variables: str) -> dict[str, str]:
    """Return every query of a dashboard by its panel's title and its letter, with the variables filled in."""
    found = {}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            found[f"{panel['title']} {target['refId']}"] = filled(target["expr"], variables)
    return found


def filled(expression: str, variables: Mapping[str, str]) -> str:
    """Return a query of a dashboard with its variables filled in."""
    for name, value in variables.items():
        expression = expression.replace(f"${name}", value)
    return expression


def dashboard_of(config: Document) -> Document:
    """Return the dashboard in a ConfigMap."""
    (text,) = config["data"].values()
    loaded: Document = yaml.safe_load(text)
    return loaded
