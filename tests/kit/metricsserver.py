"""Kubernetes' custom metrics API with numbers that a test sets, for clusters whose API server runs on this machine.

The rest is real: API aggregation, the HorizontalPodAutoscaler's controller, and pods found by the labels that it asks
for.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from kit.cluster import Object, condition, create, get, kubectl, objects
from kit.progress import wait_until
from localcluster.controlplane import certificate_authority
from localcluster.network import HOST_ADDRESS

GROUP, VERSION = "custom.metrics.k8s.io", "v1beta2"
SERVICE = "vllm-test-metrics"
API_SERVICE = f"{VERSION}.{GROUP}"
LIMIT = 30
"""Seconds until the API server passes questions on."""


@dataclass
class Metrics:
    """What is answered, and what was asked.

    Attributes:
        per_pod: value of each metric, for each pod that is asked for.
        asked: pairs of a metric and the pods that its question was about.
    """

    per_pod: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def answer(self, path: str, query: dict[str, list[str]]) -> Object | None:
        """Return the answer to a question, None to one that can't be answered."""
        parts = path.strip("/").split("/")
        if parts[:3] == ["apis", GROUP, VERSION] and len(parts) == 3:
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{GROUP}/{VERSION}",
                "resources": [],
            }
        if len(parts) != 8 or parts[3] != "namespaces" or parts[5:7] != ["pods", "*"] or parts[7] not in self.per_pod:
            return None
        pods = objects("pods", selector=query["labelSelector"][0], namespace=parts[4])
        self.asked.append((parts[7], tuple(sorted(pod["metadata"]["name"] for pod in pods))))
        items = [_value(pod, parts[7], self.per_pod[parts[7]]) for pod in pods]
        return {"kind": "MetricValueList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items}


def _value(pod: Object, metric: str, value: int) -> Object:
    described = {"kind": "Pod", "apiVersion": "v1", **{key: pod["metadata"][key] for key in ("name", "namespace")}}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"describedObject": described, "metric": {"name": metric}, "timestamp": now, "value": str(value)}


@contextmanager
def serving(namespace: str) -> Iterator[Metrics]:
    """Have the custom metrics API answered from here.

    Raises:
        Refused: the API server refuses the objects, such as when it has such an API already.
        TooLate: it does not pass questions on.
    """
    metrics = Metrics()
    server = ThreadingHTTPServer((HOST_ADDRESS, 0), _handler(metrics))
    keys = certificate_authority().parent
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "admin.crt", keys / "admin.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        for document in _documents(namespace, server.server_address[1]):
            create(document, namespace if document["kind"] != "APIService" else None)
        wait_until("the custom metrics API", _available, LIMIT)
        yield metrics
    finally:
        kubectl("delete", "apiservice", API_SERVICE, "--ignore-not-found")
        kubectl("delete", "service", SERVICE, "--ignore-not-found", namespace=namespace)
        kubectl("delete", "endpointslice", SERVICE, "--ignore-not-found", namespace=namespace)
        server.shutdown()
        server.server_close()
        thread.join(10)


def _available() -> bool:
    return condition(get("apiservice", API_SERVICE) or {}, "Available")


def _documents(namespace: str, port: int) -> list[Object]:
    """Return a Service that leads to this process, and the API that it serves."""
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    slice_labels = {"kubernetes.io/service-name": SERVICE}
    service = {"ports": [{"name": "https", "port": 443, "targetPort": port}]}
    api = {"group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100}
    api |= {"insecureSkipTLSVerify": True, "service": {"name": SERVICE, "namespace": namespace}}
    endpoints = [{"addresses": [HOST_ADDRESS], "conditions": {"ready": True}}]
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE}, "spec": service},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": SERVICE, "labels": slice_labels},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": ports,
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": API_SERVICE},
            "spec": api,
        },
    ]


def _handler(metrics: Metrics) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            found = metrics.answer(unquote(url.path), parse_qs(url.query))
            body = json.dumps(found or {"kind": "Status", "apiVersion": "v1", "code": 404}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Stay quiet."""

    return Handler
