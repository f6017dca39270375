"""Processes and pods of a group that serves, one after the other, idle and under load."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.injections import FAULTS
from faults.placing import no_spare_node
from faults.results import keep, measured
from faults.scene import Outcome, Scene, serving
from faults.styles import ASKED, SLOWLY, STYLES, Chart, InPlace
from kit.traffic import BUSY, PROBE, Load

pytestmark = pytest.mark.faults
MOST = 1.3
"""A group is back within this, times a plain start."""
MOST_IN_PLACE, MOST_RECREATED = 0.9, 2.0
"""The same of a group that restarts in place, and of one that could, but is recreated; their plain starts are short."""


@pytest.fixture(scope="module", params=ASKED)
def scene(request: pytest.FixtureRequest, namespace: str) -> Iterator[Scene]:
    """Start the tiny model, slowly."""
    with no_spare_node(), serving(STYLES[request.param](namespace, start_method=SLOWLY)) as scene:
        yield scene


@pytest.mark.parametrize("load", [PROBE, BUSY], ids=["idle", "busy"])
@pytest.mark.parametrize("name", FAULTS)
def test_group_is_back_after_one_start(scene: Scene, name: str, load: Load) -> None:
    fault = FAULTS[name]
    most = MOST
    if isinstance(scene.style, InPlace):
        most = MOST_IN_PLACE if "killed" in name else MOST_RECREATED
    outcomes = [scene.run(fault.inject, load)]
    if is_late(outcomes[0], scene, most):  # or the machine is slower by now than it was at the plain start
        scene.start_again()
        outcomes.append(scene.run(fault.inject, load))
    keep(f"{name}, {'busy' if load is BUSY else 'idle'}", scene.style, measured(outcomes[-1]))
    if isinstance(scene.style, Chart):
        assert not any(outcome.hang for outcome in outcomes)
        assert not is_late(outcomes[-1], scene, most)
        for outcome in outcomes:
            assert outcome.tells(fault.told), outcome.told


def is_late(outcome: Outcome, scene: Scene, most: float) -> bool:
    """Return whether a style of ours took longer than so many plain starts."""
    outage = outcome.requests.outage
    return isinstance(scene.style, Chart) and outage is not None and outage >= most * scene.plain_start
