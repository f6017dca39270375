"""Some faults of the tier that breaks things, in the time that there is: the group is back, and none of them hangs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.reference import ANSWER, USAGE, ask
from faults.injections import FAULTS
from faults.scene import Scene, serving
from faults.styles import Chart
from kit.simulated import is_local_cluster
from kit.traffic import BUSY, PROBE, Load

pytestmark = [
    pytest.mark.engine,
    pytest.mark.alone,
    pytest.mark.skipif(not is_local_cluster(), reason="signals processes of nodes, which must run on this machine"),
]
MOST = 3.0
"""A group is back within this, times a plain start, half of which is not vLLM here; ``make test-faults`` has 1.3
times a start as slow as vLLM's own on CPUs, on a machine that does nothing else."""
LONGEST_HANG = 30
"""Seconds that any request may take before it fails."""


@pytest.fixture(scope="module")
def scene(namespace: str) -> Iterator[Scene]:
    """Start the tiny model; each test leaves it serving."""
    with serving(Chart(namespace)) as scene:
        yield scene


@pytest.mark.parametrize(
    ("name", "load", "planned"),
    [
        ("leader's server killed", PROBE, False),
        ("worker's rank killed", BUSY, False),
        ("worker deleted", BUSY, True),
    ],
)
def test_group_is_back_and_no_request_hangs(scene: Scene, name: str, load: Load, planned: bool) -> None:
    outcome = scene.run(FAULTS[name].inject, load)
    assert not outcome.hang
    assert outcome.requests.outage is not None
    assert outcome.requests.outage < MOST * scene.plain_start
    assert outcome.requests.longest_hang < LONGEST_HANG, outcome.requests.reasons
    if planned:
        assert outcome.requests.dropped == 0, outcome.requests.reasons
    assert outcome.tells(FAULTS[name].told), outcome.told
    assert ask(scene.style.namespace) == (ANSWER, USAGE)
