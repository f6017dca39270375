"""How long the doctor takes for a release of many groups."""

from __future__ import annotations

from time import process_time

from kit.slowness import in_time
from unit.doctor_data.world import UP, World
from vmn.core.doctor.finding import GroupHealth
from vmn.report.doctor import text

GROUPS = 96
LIMIT_SECONDS = 1.5
"""Seconds of CPU time for a healthy release; it takes about 0.5."""
AT_WORK = [f"(EngineCore pid=60) INFO 11-26 10:55:00 [scheduler.py:1] something {index}" for index in range(300)]


def healthy() -> World:
    """Return a large release that serves, with the events and the logs of an hour."""
    world = World(groups=GROUPS)
    for pod in [item["metadata"]["name"] for item in world.objects["pods"]]:
        for reason in ("Scheduled", "Pulled", "Created", "Started"):
            world.event("Pod", pod, reason, f"Container of {pod}", ago=595)
        world.log(pod, *UP, *AT_WORK, start=590)
    return world


def test_large_healthy_release_is_diagnosed_in_time() -> None:
    world = healthy()
    begun = process_time()
    found = world.say()
    said = text(found)
    assert in_time(process_time() - begun, LIMIT_SECONDS)
    assert found.state is GroupHealth.SERVING
    assert [group.findings for group in found.groups] == [[]] * GROUPS
    assert said.count(" serves.") >= GROUPS
