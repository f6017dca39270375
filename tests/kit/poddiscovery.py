"""Pods as Prometheus' own discovery sees them, for Debian's Prometheus, which is built without that for Kubernetes.

Only the finding of pods is in other hands: what is scraped, and under which labels, Prometheus itself decides by the
relabelings.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.api import Refused
from kit.cluster import Object, objects
from kit.schemas import Document

META = "__meta_kubernetes"
PERIOD = 2.0
"""Seconds between two looks."""


def targets(pod: Object) -> Iterator[Document]:
    """Yield a pod's targets, one for each container's port, with labels as in Prometheus' discovery/kubernetes/pod.go.

    A pod without an address has none.
    """
    address = pod["status"].get("podIP")
    labels = {
        f"{META}_namespace": pod["metadata"]["namespace"],
        f"{META}_pod_name": pod["metadata"]["name"],
        f"{META}_pod_phase": pod["status"].get("phase", ""),
    }
    for key, value in pod["metadata"].get("labels", {}).items():
        labels[f"{META}_pod_label_{sanitized(key)}"] = value
        labels[f"{META}_pod_labelpresent_{sanitized(key)}"] = "true"
    for container in pod["spec"]["containers"] if address else ():
        for port in container.get("ports", ()):
            own = {"pod_container_name": container["name"], "pod_container_port_name": port.get("name", "")}
            named = {f"{META}_{key}": value for key, value in own.items()}
            yield {"targets": [f"{address}:{port['containerPort']}"], "labels": {**labels, **named}}


def sanitized(label: str) -> str:
    """Return a label's key as Prometheus writes it."""
    return "".join(letter if letter.isalnum() else "_" for letter in label)


@contextmanager
def discovered(namespace: str, file: Path) -> Iterator[None]:
    """Keep a file of targets for ``file_sd_configs`` up to date with a namespace's pods."""
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            try:
                found = [target for pod in objects("pods", namespace=namespace) for target in targets(pod)]
                fresh = file.with_suffix(".new")
                fresh.write_text(json.dumps(found), encoding="utf-8")
                fresh.replace(file)
            except Refused:
                pass  # the API server is busy: the next look is soon
            ended.wait(PERIOD)

    file.write_text("[]", encoding="utf-8")
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(60)
