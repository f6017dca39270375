"""Processes and pods of a group that serves, one after the other, idle and under load."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.injections import FAULTS
from faults.placing import no_spare_node
from faults.results import keep, measured
from faults.scene import Scene, serving
from faults.styles import ASKED, STYLES, Chart
from kit.traffic import BUSY, PROBE, Load

pytestmark = pytest.mark.faults
MOST = 1.3
"""A group is back within this, times a plain start."""


@pytest.fixture(scope="module", params=ASKED)
def scene(request: pytest.FixtureRequest, namespace: str) -> Iterator[Scene]:
    """Start the tiny model as vLLM starts it on CPUs, slowly: what is not start is little beside a start on GPUs."""
    with no_spare_node(), serving(STYLES[request.param](namespace, start_method="spawn")) as scene:
        yield scene


@pytest.mark.parametrize("load", [PROBE, BUSY], ids=["idle", "busy"])
@pytest.mark.parametrize("name", FAULTS)
def test_group_is_back_after_one_start(scene: Scene, name: str, load: Load) -> None:
    fault = FAULTS[name]
    outcome = scene.run(fault.inject, load)
    keep(f"{name}, {'busy' if load is BUSY else 'idle'}", scene.style, measured(outcome))
    if isinstance(scene.style, Chart):
        assert not outcome.hang
        outage = outcome.requests.outage
        assert outage is None or outage < MOST * scene.plain_start
        assert outcome.tells(fault.told), outcome.told
