"""A node that goes without a word, and one that is drained, with requests in flight."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from faults import injections, placing
from faults.injections import LostNode
from faults.results import keep, measured
from faults.scene import Scene
from faults.styles import SLOWLY, Chart, Style
from kit.traffic import BUSY

pytestmark = pytest.mark.faults
STAYS, LOST = "node-1", "node-2"
TAINTED_AFTER = 75
"""Seconds from the loss until somebody says that the node will not come back."""
LONGEST_HANG = 60
"""Seconds that a request may hang after the loss of a worker's node."""


@pytest.fixture(autouse=True)
def nodes_that_are_well(style: Style) -> Iterator[None]:
    """Bring the node back after a test, before the style's pods are removed from it."""
    yield
    LostNode(LOST).bring_back()


def placed(style: Style, leader: str, worker: str) -> Scene:
    """Start a group with its pods on two nodes and return it when it serves."""
    scene = Scene(style, lambda own: placing.place(own, leader, worker))
    scene.start()
    return scene


@pytest.mark.parametrize("role", ["worker", "leader"])
def test_requests_do_not_hang_when_a_node_is_lost_and_the_group_is_back_on_a_spare_one(style: Style, role: str) -> None:
    """After the taint, Kubernetes removes the pods within 20 s, whatever a start takes."""
    scene = placed(replace(style, start_method=SLOWLY), *((STAYS, LOST) if role == "worker" else (LOST, STAYS)))
    lost = LostNode(LOST)

    def inject(_: Style) -> None:
        lost.lose()
        threading.Timer(TAINTED_AFTER, lost.taint).start()

    outcome = scene.run(inject, BUSY)
    keep(f"{role}'s node lost, tainted after {TAINTED_AFTER} s", style, measured(outcome))
    if isinstance(style, Chart):
        assert not outcome.hang
        assert outcome.requests.outage is not None
        assert outcome.requests.outage - TAINTED_AFTER < 2 * scene.plain_start
        assert outcome.tells(f"node-lost: .*node {LOST} is lost"), outcome.told
        if role == "worker":
            assert outcome.requests.longest_hang < LONGEST_HANG


@pytest.mark.parametrize("pod", [injections.LEADER, injections.WORKER])
def test_drain_of_a_node_loses_no_request(style: Style, pod: str) -> None:
    outcome = placed(style, STAYS, LOST).run(injections.evict(pod), BUSY)
    keep(f"drain of the node of {pod}", style, measured(outcome))
    if isinstance(style, Chart):
        assert not outcome.hang
        assert outcome.requests.dropped == 0, outcome.requests.reasons
        assert outcome.tells("(drained|deleted): " + pod), outcome.told
