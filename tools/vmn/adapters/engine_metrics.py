"""What a leader's server answers through the API server's proxy: vLLM's counters, and whether it answers at all."""

from __future__ import annotations

import re
from time import sleep
from typing import TYPE_CHECKING

from vmn.adapters.cluster import ask_text
from vmn.adapters.container_logs import LOG_TIMEOUT
from vmn.adapters.programs import MissingError
from vmn.core.cluster.release import Pod, Pulse

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

PULSE_SECONDS = 10.0
"""Seconds between two readings of a leader's counters."""
COUNTER = re.compile(r"^vllm:(num_requests_running|generation_tokens_total)\{[^}]*\} (\S+)", re.MULTILINE)
RUNNING, TOKENS = "num_requests_running", "generation_tokens_total"


def read_pulse(client: ApiClient, namespace: str, pod: Pod) -> Pulse | None:
    """Return whether tokens are generated while requests run; None without requests, or without counters."""
    first = _counters(client, namespace, pod)
    if not first or not first.get(RUNNING):
        return None
    sleep(PULSE_SECONDS)
    second = _counters(client, namespace, pod)
    if not second:
        return None
    running = min(first[RUNNING], second.get(RUNNING, 0.0))
    return Pulse(running, second.get(TOKENS, 0.0) - first.get(TOKENS, 0.0), PULSE_SECONDS)


def is_silent(client: ApiClient, namespace: str, pod: Pod) -> bool:
    """Return whether a leader's server gives no answer to ``/health`` in time."""
    try:
        _ask(client, namespace, pod, "health")
    except MissingError:
        return True
    return False


def _counters(client: ApiClient, namespace: str, pod: Pod) -> dict[str, float] | None:
    """Return the sums of a leader's counters."""
    try:
        status, text = _ask(client, namespace, pod, "metrics")
    except MissingError:
        return None
    sums: dict[str, float] = {}
    for found in COUNTER.finditer(text):
        sums[found[1]] = sums.get(found[1], 0.0) + float(found[2])
    return sums if status == 200 else None


def _ask(client: ApiClient, namespace: str, pod: Pod, page: str) -> tuple[int, str]:
    """Return the status and the text of a page of a leader's server; 404 without a port.

    Raises:
        MissingError: no answer comes in time.
    """
    ports = [port for item in pod.item["spec"]["containers"] for port in item.get("ports") or ()]
    port = next((item["containerPort"] for item in ports if item.get("name") == "http"), None)
    if port is None:
        return 404, ""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod.name}:{port}/proxy/{page}"
    return ask_text(client, path, limit=LOG_TIMEOUT)
