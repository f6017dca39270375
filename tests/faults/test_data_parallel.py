"""Data-parallel layouts over two nodes whose engines restart in place, with one server, and with one per pod."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from engine.test_data_parallel import EXPERTS
from faults.injections import CORE, LEADER, SERVER, WORKER, kill_first
from faults.scene import Scene
from faults.styles import Chart
from kit.progress import say
from kit.traffic import PROBE

pytestmark = pytest.mark.faults
COMMON: dict[str, Any] = {
    "group": {"inPlaceRestart": {"enabled": True, "maxRestarts": 3}},
    "engine": {"args": {"load-format": "dummy", "hf-overrides": EXPERTS}},
}
INTERNAL = {"parallelism": {"data": 2}}
EXTERNAL = {"parallelism": {"data": 2, "dataLoadBalancer": "external"}}
FAULTS: Mapping[str, tuple[Mapping[str, Any], list[tuple[str, str]]]] = {
    "internal": (INTERNAL, [(WORKER, CORE), (LEADER, SERVER)]),
    "external": (EXTERNAL, [(WORKER, SERVER), (LEADER, CORE)]),
}
"""Values, and the pods and processes that are killed one after the other."""


@pytest.mark.parametrize("name", FAULTS)
def test_data_parallel_group_restarts_in_place(namespace: str, name: str) -> None:
    values, faults = FAULTS[name]
    style = Chart(namespace)
    scene = Scene(style, lambda _: style.start({**COMMON, **values}))
    scene.start()
    before = style.uids()
    for number, (pod, process) in enumerate(faults, start=1):
        outcome = scene.run(kill_first(pod, process), PROBE)
        say(f"{name}: {process} of {pod} killed: {outcome.requests.outage} s, {outcome.ratio} starts")
        assert not outcome.hang
        assert style.uids() == before, style.describe()
        told = re.findall(r"restarted in place within \d+ s, .*: rank (\d), (\S+): ", style.logs(LEADER, "vllm-leader"))
        assert len(told) == number
        assert told[-1][1] == pod
    style.uninstall()
