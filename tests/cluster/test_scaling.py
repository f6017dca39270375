"""Groups follow the load: the real HorizontalPodAutoscaler on the real LeaderWorkerSet, numbers set by the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kit import simulated
from kit.cluster import get
from kit.metricsserver import Metrics, serving
from kit.paths import CHECKOUT
from kit.progress import wait_until
from kit.release import Release

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.alone,
    pytest.mark.skipif(not simulated.is_local_cluster(), reason="the API server must reach the test's own process"),
]
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"
LIMIT = 120
"""Seconds; the controller looks every 15."""
WAITING = "vllm:num_requests_waiting"
AT_ONCE = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 1}]}
VALUES: dict[str, Any] = {
    **simulated.VALUES,
    "autoscaling": {"type": "hpa", "waitingRequests": 4, "behavior": {"scaleUp": AT_ONCE, "scaleDown": AT_ONCE}},
}


@pytest.fixture
def metrics(namespace: str) -> Iterator[Metrics]:
    """Serve the custom metrics API."""
    with serving(namespace) as found:
        yield found


def groups(release: Release) -> int:
    """Return how many groups the LeaderWorkerSet is to have."""
    return int((release.group() or {})["spec"]["replicas"])


def state(release: Release) -> object:
    """Return what the autoscaler says."""
    return (get("hpa", release.name, release.namespace) or {}).get("status")


def test_groups_come_and_go_with_the_waiting_requests_and_an_upgrade_keeps_them(
    release: Release, metrics: Metrics
) -> None:
    metrics.per_pod[WAITING] = 0
    release.install(PRESET, values=VALUES)
    release.wait_available(LIMIT)
    assert groups(release) == 1

    metrics.per_pod[WAITING] = 8
    wait_until("second group", lambda: groups(release) == 2, LIMIT, state=lambda: state(release))
    metrics.per_pod[WAITING] = 3  # with two groups: enough to keep them, too little for a third
    release.wait_available(LIMIT)
    names = {pods for metric, pods in metrics.asked if metric == WAITING}
    assert ("vllm-0",) in names, "it looked at leaders alone"
    wait_until("budget of one group", lambda: allowed(release) == 1, 60, state=lambda: allowed(release))

    release.upgrade(PRESET, values={**VALUES, "service": {"annotations": {"example.com/team": "inference"}}})
    assert groups(release) == 2, "the upgrade set the number back"

    metrics.per_pod[WAITING] = 0
    wait_until("one group again", lambda: groups(release) == 1, LIMIT, state=lambda: state(release))
    wait_until("end of the second group", lambda: len(release.pods()) == 2, LIMIT, state=release.describe)


def allowed(release: Release) -> int:
    """Return how many pods may be evicted."""
    budget = get("poddisruptionbudget", release.name, release.namespace) or {}
    return int(budget.get("status", {}).get("disruptionsAllowed", -1))
