"""Nodes that are drained at the same moment, and a kubelet that stops, with two groups under continuous traffic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from faults import injections, placing
from faults.results import keep, measured
from faults.scene import Scene
from faults.styles import Chart, Style
from kit.cluster import kubectl
from kit.traffic import BUSY
from localcluster.node import present

pytestmark = pytest.mark.faults
LIMIT = 900
"""Seconds for two groups, one after the other, on two cores."""
AWAY = 300
"""Seconds without a kubelet."""
SPANNED = (("node-1", "node-2"), ("node-2", "node-1"))
"""Two groups on the same two nodes, each with a leader on another one."""
WITHOUT_KUBELET = "node-2"
APART = (("node-1", "node-2"), ("node-4", "node-3"))
"""Two groups on four nodes; when those of both workers are drained, the other two are enough for both."""


@pytest.fixture(autouse=True)
def nodes_that_are_open() -> Iterator[None]:
    """Open the nodes after a test."""
    yield
    kubectl("uncordon", *(real.name for real in present()))


@pytest.fixture
def scene_of(style: Style) -> Callable[..., Scene]:
    """Return a function that starts two groups on some nodes, and waits until both serve."""

    def start(*nodes: tuple[str, str]) -> Scene:
        scene = Scene(style, lambda own: placing.place_two(own, *nodes))
        scene.start()
        return scene

    return start


def test_two_nodes_that_are_drained_at_once_take_one_group_after_the_other(scene_of: Callable[..., Scene]) -> None:
    scene = scene_of(*APART)
    before = scene.style.uids()
    drain = injections.evict("vllm-0-1", "vllm-1-1")
    outcome = scene.run(drain, BUSY, limit=LIMIT, recovered=lambda: scene.style.available(without=before))
    keep("drain of two nodes of two groups at once", scene.style, measured(outcome))
    if isinstance(scene.style, Chart):
        assert not outcome.hang
        assert outcome.requests.outage is None, outcome.requests.reasons
        assert outcome.requests.lost + outcome.requests.refused == 0, outcome.requests.reasons


def test_groups_serve_on_while_a_kubelet_is_away(scene_of: Callable[..., Scene]) -> None:
    scene = scene_of(*SPANNED)
    before = scene.style.uids()
    outcome = scene.run(_stop_kubelet, BUSY, limit=LIMIT)
    keep(f"kubelet of a node of 2 groups away for {AWAY} s", scene.style, measured(outcome))
    if isinstance(scene.style, Chart):
        assert not outcome.hang
        assert outcome.requests.lost == 0, outcome.requests.reasons
        assert scene.style.uids() == before
        assert outcome.tells(f"node-lost: .*node {WITHOUT_KUBELET} is lost"), outcome.told


def test_rollout_while_a_kubelet_is_away_loses_no_request(scene_of: Callable[..., Scene]) -> None:
    scene = scene_of(*SPANNED)
    before = scene.style.uids()

    def roll(style: Style) -> None:
        style.roll(2)
        _stop_kubelet(style)

    outcome = scene.run(roll, BUSY, limit=LIMIT, recovered=lambda: scene.style.available(without=before))
    keep(f"upgrade, 2 groups, kubelet of a node away for {AWAY} s", scene.style, measured(outcome))
    if isinstance(scene.style, Chart):
        assert not outcome.hang
        assert outcome.requests.dropped == 0, outcome.requests.reasons


def _stop_kubelet(_: Style) -> None:
    with injections.without_kubelet(WITHOUT_KUBELET):
        time.sleep(AWAY)
