"""What a pod's servers answer through the API server's proxy: vLLM's counters, and whether they answer at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from time import sleep
from typing import TYPE_CHECKING

from vmn.adapters.cluster import ask_text
from vmn.adapters.container_logs import LOG_TIMEOUT
from vmn.adapters.programs import MissingError
from vmn.core.cluster.release import Pod, Pulse
from vmn.core.tune.traffic import Traffic

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

PULSE_SECONDS = 10.0
"""Seconds between two readings of a pod's counters."""
RUNNING, WAITING, TOKENS, ENDED, SHORT = (
    "num_requests_running",
    "num_requests_waiting",
    "generation_tokens_total",
    "request_success_total",
    "request_prompt_tokens_bucket",
)
COUNTER = re.compile(
    rf"^vllm:({RUNNING}|{WAITING}|{TOKENS}|{ENDED}|{SHORT}(?=\{{[^}}]*le=\"1\.0\"))\{{[^}}]*\}} (\S+)", re.MULTILINE
)


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


def read_traffic(client: ApiClient, namespace: str, pods: Iterable[Pod]) -> Traffic | None:
    """Return what the API servers of some pods have counted, None if one of them does not answer.

    Requests that the clients gave up count as ended, too. Those with one prompt token do not count: with these, the
    chart sees whether an engine that is idle still works (``files/engine/stall.sh``).
    """
    sums = dict.fromkeys((RUNNING, WAITING, ENDED, SHORT), 0.0)
    for pod in pods:
        found = _counters(client, namespace, pod)
        if found is None:
            return None
        sums = {name: value + found.get(name, 0.0) for name, value in sums.items()}
    return Traffic(sums[RUNNING], sums[WAITING], sums[ENDED] - sums[SHORT])


def is_silent(client: ApiClient, namespace: str, pod: Pod) -> bool:
    """Return whether a pod's server gives no answer to ``/health`` in time."""
    if pod.health_port is None:
        return False
    try:
        _ask(client, namespace, pod, pod.health_port, "health")
    except MissingError:
        return True
    return False


def _counters(client: ApiClient, namespace: str, pod: Pod) -> dict[str, float] | None:
    """Return the sums of the counters of a pod's servers, None if one of them does not answer."""
    sums: dict[str, float] = {}
    for port in pod.server_ports:
        try:
            status, text = _ask(client, namespace, pod, port, "metrics")
        except MissingError:
            return None
        if status != 200:
            return None
        for found in COUNTER.finditer(text):
            sums[found[1]] = sums.get(found[1], 0.0) + float(found[2])
    return sums


def _ask(client: ApiClient, namespace: str, pod: Pod, port: int, page: str) -> tuple[int, str]:
    """Return the status and the text of a page of a pod's server.

    Raises:
        MissingError: no answer comes in time.
    """
    path = f"/api/v1/namespaces/{namespace}/pods/{pod.name}:{port}/proxy/{page}"
    return ask_text(client, path, limit=LOG_TIMEOUT)
