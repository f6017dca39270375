"""NVIDIA's DCGM exporter as Prometheus sees it: a recorded answer of it, for the pods of a test.

``recorded/dcgm-h200.prom`` has the form of dcgm-exporter 4.5.3-4.8.2 (rendermetrics/render_metrics.go) with its default
counters (etc/default-counters.csv), and DCGM_EXP_CLOCK_EVENTS_COUNT in addition. Clocks, power, temperatures, and
utilization are those of an H200 that multiplied matrices (driver 580.159.04, 2026-11-29); other values are made up.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kit.schemas import Document

RECORDED = Path(__file__).parent / "recorded" / "dcgm-h200.prom"
NODE, POD, NAMESPACE = 'Hostname="gpu-node-1"', 'pod="vllm-0"', 'namespace="default"'
"""What is written over with the names of a test's pods."""
OF_THE_EXPORTER = {
    "namespace": "gpu-operator",
    "pod": "nvidia-dcgm-exporter-46gdf",
    "container": "nvidia-dcgm-exporter",
}
"""Labels that the Prometheus operator gives to the series of a ServiceMonitor's target."""


def exposition(pods: Sequence[str], namespace: str) -> str:
    """Return what the exporters of some nodes answer together, each with one of the pods on its two GPUs."""
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    kept: list[str] = []
    for line in lines:
        if line.startswith("#"):
            kept.append(line)
            continue
        for number, pod in enumerate(pods, 1):
            named = line.replace(POD, f'pod="{pod}"').replace(NAMESPACE, f'namespace="{namespace}"')
            kept.append(named.replace(NODE, f'Hostname="gpu-node-{number}"'))
    return "\n".join(kept) + "\n"


@contextmanager
def scraped(text: str, *, honor_labels: bool, host: str = "127.0.0.1") -> Iterator[Document]:
    """Serve an answer of the exporter, and give the scrape configuration of its ServiceMonitor.

    Args:
        text: the answer.
        honor_labels: whether labels of the exporter take precedence over those of the target.
        host: address to listen on.
    """

    class Answer(BaseHTTPRequestHandler):
        """Answers every request with the text."""

        def do_GET(self) -> None:
            """Answer."""
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer((host, 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        target = {"targets": [f"{host}:{server.server_port}"], "labels": OF_THE_EXPORTER}
        yield {"job_name": "nvidia-dcgm-exporter", "honor_labels": honor_labels, "static_configs": [target]}
        server.shutdown()
