"""A real Prometheus over vLLM in pods: every panel of the dashboard has data, and faults fire their alerts."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from engine.reference import ask
from faults.injections import LEADER, WORKER, kill_server, pod
from faults.scene import START_LIMIT, Scene
from faults.styles import PRESET, Chart
from kit import nodeprocesses, prometheus
from kit.cluster import background
from kit.collector import PATH, Collector, collector
from kit.dashboardpicture import Span, picture
from kit.dcgmexporter import exposition, scraped
from kit.paths import CHECKOUT
from kit.poddiscovery import discovered
from kit.progress import say, step, wait_until
from kit.render import render
from kit.schemas import Document
from kit.scripts import free_port
from kit.simulated import is_local_cluster
from kit.traffic import Load
from localcluster.network import HOST_ADDRESS
from localcluster.programs import program

pytestmark = [
    pytest.mark.engine,
    pytest.mark.minutes(5),
    pytest.mark.skipif(not is_local_cluster(), reason="Prometheus runs on this machine and must reach pods from it"),
]
PERIOD = 2
"""Seconds between two scrapes, and between two evaluations."""
WATCHED: dict[str, Any] = {
    "engine": {"args": {"max-num-seqs": 1}},  # so that requests wait
    "monitoring": {
        "podMonitor": {"enabled": True, "intervalSeconds": PERIOD},
        "dashboard": {"enabled": True},
        "rules": {
            "enabled": True,
            **{"downSeconds": 4, "stalledSeconds": 12, "queueRequests": 1, "queueSeconds": 6},
        },
    },
}
WITHOUT_OBJECTS = {"podMonitor": {"enabled": False}, "rules": {"enabled": False}, "dashboard": {"enabled": False}}
"""What is installed: the cluster has no operator, and Prometheus gets the rendered objects from the test."""
LOAD = Load(clients=4, tokens=24, pause=0.2, limit=90)
ALERT_LIMIT = 90
"""Seconds until an alert fires that waits for 4 to 20."""
MEASURED = 30
"""Seconds of requests before the panels are asked."""
PICTURE = CHECKOUT / "docs" / "dashboard.svg"
KEEP = "KEEP_DASHBOARD_PICTURE"


@dataclass(frozen=True)
class Watched:
    """A group that serves, and the Prometheus that watches it since before its start."""

    scene: Scene
    server: prometheus.Prometheus
    traces: Collector
    dashboard: Document
    begun: float

    @property
    def variables(self) -> dict[str, str]:
        """What a reader of the dashboard would choose."""
        chosen = {"namespace": self.scene.style.namespace, "job": "vllm", "group": ".*"}
        return {**chosen, "__rate_interval": "20s"}

    def panels(self) -> dict[str, str]:
        """Return every query of the dashboard by its panel."""
        return prometheus.queries(self.dashboard, **self.variables)

    def wait_firing(self, alert: str) -> None:
        """Wait until an alert fires."""
        wait_until(f"alert {alert}", lambda: alert in self.server.firing(), ALERT_LIMIT, state=self.server.firing)


def told(endpoint: str) -> dict[str, Any]:
    """Return values for traces, and for logs in JSON."""
    return {"tracing": {"endpoint": endpoint, "protocol": "http/protobuf"}, "logging": {"format": "json"}}


@contextmanager
def kube_state_metrics(namespace: str) -> Iterator[Document]:
    """Run kube-state-metrics for the pods of a namespace; give the scrape as kube-prometheus-stack has it."""
    port, own = free_port(), free_port()
    kubeconfig = os.environ["KUBECONFIG"]
    command = [str(program("kube-state-metrics")), f"--kubeconfig={kubeconfig}", "--resources=pods"]
    command += [f"--namespaces={namespace}", f"--port={port}", f"--telemetry-port={own}"]
    command += ["--host=127.0.0.1", "--telemetry-host=127.0.0.1"]
    with background(*command, ready="Started metrics server|Starting metrics server|Starting kube-state-metrics"):
        target = {"targets": [f"127.0.0.1:{port}"]}
        yield {"job_name": "kube-state-metrics", "honor_labels": True, "static_configs": [target]}


@pytest.fixture(scope="module")
def watched(namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Start Prometheus, then the tiny model."""
    manifests = render(WATCHED, PRESET, namespace=namespace)
    folder = tmp_path_factory.mktemp("prometheus")
    scrape = prometheus.scrape(manifests.one("PodMonitor"), folder / "pods.json")
    rules = manifests.one("PrometheusRule")
    dashboard = prometheus.dashboard_of(manifests.one("ConfigMap", "vllm-dashboard"))
    release = Chart(namespace)
    with (
        kube_state_metrics(namespace) as state,
        scraped(exposition([LEADER, WORKER], namespace), honor_labels=False) as gpus,
        discovered(namespace, folder / "pods.json"),
        prometheus.running(folder, [scrape, state, gpus], rules, PERIOD) as server,
        collector(HOST_ADDRESS) as traces,
    ):
        begun = time.time()
        endpoint = f"http://{HOST_ADDRESS}:{traces.port}{PATH}"
        release.start({**WATCHED, "monitoring": WITHOUT_OBJECTS, **told(endpoint)})
        release.wait_available(START_LIMIT)
        yield Watched(Scene(release), server, traces, dashboard, begun)
        with step("uninstall"):
            release.uninstall()


def empty(watched: Watched) -> list[str]:
    """Return the panels' queries that have no number to show."""
    found = []
    for panel, expression in watched.panels().items():
        values = [float(series["value"][1]) for series in watched.server.query(expression)]
        say(f"{panel}: {', '.join(f'{value:.4g}' for value in values) or 'nothing'}")
        if not any(math.isfinite(value) for value in values):
            found.append(panel)
    return found


@contextmanager
def stopped_rank(watched: Watched) -> Iterator[None]:
    """Stop the worker's rank for a while, so that requests run and get no token."""
    ranks = nodeprocesses.named(pod(watched.scene.style, WORKER), "VLLM::Worker")
    assert ranks
    nodeprocesses.send(signal.SIGSTOP, *ranks)
    try:
        yield
    finally:
        nodeprocesses.send(signal.SIGCONT, *ranks)


def keep_picture(watched: Watched) -> None:
    """Write the dashboard's picture for the guide, when it is asked for."""
    text = picture(watched.dashboard, watched.server, Span(watched.begun, time.time()), watched.variables)
    assert text.count("<polyline") >= len(watched.panels()) - 2, "lines are missing"
    if os.environ.get(KEEP):
        PICTURE.write_text(text, encoding="utf-8")


def test_group_that_starts_is_down_and_no_alert_fires_when_it_serves(watched: Watched) -> None:
    down = watched.server.query('max_over_time(ALERTS{alertname="VllmDown",alertstate="firing"}[10m])')
    assert len(down) == 1
    wait_until("end of all alerts", lambda: not watched.server.firing(), 30, state=watched.server.firing)


def test_traces_reach_a_collector_and_logs_are_json(watched: Watched) -> None:
    ask(watched.scene.style.namespace)
    wait_until("trace of a request", lambda: watched.traces.has(b"llm_request", b"vllm"), 30)
    log = watched.scene.style.logs(LEADER, "vllm-leader")
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert {"vllm", "uvicorn"} <= {line["name"].partition(".")[0] for line in lines}
    plain = [line for line in log.splitlines() if " INFO " in line and not line.startswith("{")]
    assert plain == []


def test_every_panel_has_data_and_faults_fire_their_alerts(watched: Watched) -> None:
    with watched.scene.traffic(LOAD):
        time.sleep(MEASURED)
        assert empty(watched) == []
        watched.wait_firing("VllmQueue")
        with stopped_rank(watched):
            watched.wait_firing("VllmStalled")
        wait_until("tokens again", lambda: "VllmStalled" not in watched.server.firing(), ALERT_LIMIT)
        before = watched.scene.style.uids()
        kill_server(LEADER)(watched.scene.style)
        watched.wait_firing("VllmDown")
        watched.scene.style.wait_available(START_LIMIT, before)
        time.sleep(MEASURED / 3)
    recreated = watched.server.query(watched.panels()["Recreated A"])
    assert [series["value"][1] for series in recreated] == ["1"]
    keep_picture(watched)
