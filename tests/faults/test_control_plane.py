"""Parts of Kubernetes that are away while a group serves or a pod of it dies."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from faults import injections
from faults.injections import WORKER
from faults.results import keep, measured
from faults.scene import Scene
from faults.styles import Chart, Style
from kit import lwscontroller
from kit.doctor import NOBODY
from kit.nodeprocesses import send
from kit.traffic import BUSY, PROBE
from localcluster import controlplane

pytestmark = pytest.mark.faults
MOST = 1.3
API_AWAY = 120
CONTROLLER_AWAY = 30
DNS_AWAY = 40
NODES_LOOK_LOST = 30
LIMIT = 240
"""Seconds."""


def pause_api_server(_: Style) -> None:
    """Stop the API server for two minutes: it answers no request."""
    number = controlplane.recorded_pid("kube-apiserver")
    send(signal.SIGSTOP, number)
    try:
        time.sleep(API_AWAY)
    finally:
        send(signal.SIGCONT, number)


def delete_without_controller(style: Style) -> None:
    """Delete a worker while LeaderWorkerSet's controller, and so its webhook, is away for a while."""
    lwscontroller.leave()
    injections.delete(WORKER)(style)
    time.sleep(CONTROLLER_AWAY)
    lwscontroller.come_back()


def take_dns_away(_: Style) -> None:
    """Leave the cluster without DNS for longer than a worker's readiness probe may fail."""
    with injections.without_dns():
        time.sleep(DNS_AWAY)


@pytest.fixture(autouse=True)
def controller_that_is_there() -> Iterator[None]:
    """Bring the controller back, whatever a test did."""
    yield
    lwscontroller.come_back()


def test_group_is_back_when_the_controller_is(scene: Scene) -> None:
    outcome = scene.run(delete_without_controller, PROBE, limit=LIMIT)
    fault = f"worker deleted while LWS's controller is away for {CONTROLLER_AWAY} s"
    keep(fault, scene.style, measured(outcome))
    if isinstance(scene.style, Chart):
        assert not outcome.hang
        assert outcome.requests.outage is not None
        assert outcome.requests.outage < CONTROLLER_AWAY + MOST * scene.plain_start
        assert outcome.tells("lws-controller-(away|down): "), outcome.told


def test_serving_goes_on_without_the_api_server(scene: Scene) -> None:
    outcome = scene.run(pause_api_server, BUSY)
    keep(f"API server away for {API_AWAY} s", scene.style, measured(outcome))
    if isinstance(scene.style, Chart):
        assert not outcome.hang
        assert outcome.requests.lost == 0, outcome.requests.reasons
        # no server is shutting down here, and a connection that one closes would not count as refused
        assert all(why.startswith(("ConnectError", "ConnectTimeout")) for why in outcome.requests.reasons)
        assert outcome.requests.answered > 0
        # for Kubernetes, nodes of which it has not heard for so long are lost until their kubelets have reported
        assert outcome.doctor[0] == NOBODY
        assert set(outcome.doctor) <= {NOBODY, "node-lost"}
        assert outcome.requests.outage is None or outcome.requests.outage < NODES_LOOK_LOST


def test_serving_goes_on_without_dns(scene: Scene) -> None:
    outcome = scene.run(take_dns_away, PROBE)
    keep(f"DNS away for {DNS_AWAY} s", scene.style, measured(outcome))
    if isinstance(scene.style, Chart):
        assert not outcome.hang
        assert outcome.requests.answered > 0
        assert outcome.requests.dropped + outcome.requests.refused == 0, outcome.requests.reasons
        assert not outcome.doctor, outcome.told
