"""Processes and pods of a group that serves, one after the other, idle and under load."""

from __future__ import annotations

import pytest

from faults.injections import FAULTS
from faults.results import keep, measured
from faults.scene import Scene
from faults.styles import Chart
from kit.traffic import BUSY, PROBE, Load

pytestmark = pytest.mark.faults
MOST = 1.3
"""A group is back within this, times a plain start."""


@pytest.mark.parametrize("load", [PROBE, BUSY], ids=["idle", "busy"])
@pytest.mark.parametrize("name", FAULTS)
def test_group_is_back_after_one_start(scene: Scene, name: str, load: Load) -> None:
    outcome = scene.run(FAULTS[name], load)
    keep(f"{name}, {'busy' if load is BUSY else 'idle'}", scene.style, measured(outcome))
    if isinstance(scene.style, Chart):
        assert not outcome.hang
        assert outcome.ratio is None or outcome.ratio < MOST
