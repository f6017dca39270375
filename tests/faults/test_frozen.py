"""Processes that neither work nor end, one at a time: a server or an engine that hangs, NCCL, a GPU's driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from faults import injections
from faults.injections import CORE, LEADER, RANK, SERVER, WORKER
from faults.results import keep, measured
from faults.scene import START_LIMIT, Scene
from faults.styles import ASKED, SLOWLY, STYLES, Chart
from kit.traffic import BUSY, PROBE, Load

pytestmark = pytest.mark.faults
TIMEOUT = 60
"""Seconds for one step of the engine, the chart's default."""
STALLED = 70
"""Seconds for an engine without a step, the chart's default."""
HANGS = 60
"""Seconds for a server without an answer, the chart's default."""
LATE = 20
"""Seconds from a limit until PID 1 has seen that it is over: a 24th of it, and what a request then takes."""
WATCHED = 150
"""Seconds, of a style whose bound is vLLM's own, or that has none."""
EACH = 15
"""Seconds for which each of the other processes is frozen."""


@dataclass(frozen=True)
class Process:
    """A process without which no request is answered.

    Attributes:
        pod: its pod.
        word: of its command line.
        limit: seconds until it is ended.
        told: what ``vmn doctor`` must say of it, a pattern.
    """

    pod: str
    word: str
    limit: int
    told: str


PROCESSES: Mapping[str, Process] = {
    "leader's server": Process(LEADER, SERVER, HANGS, "has not answered /health for"),
    "leader's engine core": Process(LEADER, CORE, STALLED, "has done no step for"),
    "leader's rank": Process(LEADER, RANK, TIMEOUT, "RPC call to .* timed out|a rank did not answer in time"),
    "worker's rank": Process(WORKER, RANK, TIMEOUT, "RPC call to .* timed out|a rank did not answer in time"),
}


@pytest.fixture(scope="module", params=ASKED)
def scene(request: pytest.FixtureRequest, namespace: str) -> Iterator[Scene]:
    """Start the tiny model, slowly."""
    scene = Scene(STYLES[request.param](namespace, start_method=SLOWLY))
    scene.start()
    yield scene
    scene.style.uninstall()


@pytest.mark.parametrize(("name", "load"), [*((name, BUSY) for name in PROCESSES), ("leader's engine core", PROBE)])
def test_process_that_is_frozen_is_ended_and_the_group_is_back(scene: Scene, name: str, load: Load) -> None:
    process = PROCESSES[name]
    limit = START_LIMIT if isinstance(scene.style, Chart) else WATCHED
    outcome = scene.run(injections.freeze(process.pod, process.word), load, limit=limit)
    keep(f"{name} frozen, {'busy' if load is BUSY else 'idle'}", scene.style, measured(outcome))
    if isinstance(scene.style, Chart):
        assert not outcome.hang
        assert outcome.requests.outage is not None
        idle = STALLED / 7 if process.word == CORE and load is PROBE else 0
        assert outcome.requests.outage < process.limit + idle + LATE + 1.3 * scene.plain_start
        assert outcome.requests.longest_hang < process.limit + idle + LATE
        assert outcome.tells(process.told), outcome.told


@pytest.mark.parametrize(
    ("role", "pod", "but"), [("leader", LEADER, (SERVER, CORE, RANK)), ("worker", WORKER, (RANK,))]
)
def test_serving_goes_on_when_any_other_process_is_frozen(
    scene: Scene, role: str, pod: str, but: tuple[str, ...]
) -> None:
    outcome = scene.run(injections.freeze_one_after_the_other(pod, *but, seconds=EACH), BUSY)
    fault = f"{role}'s other processes frozen for {EACH} s each, one at a time"
    keep(fault, scene.style, measured(outcome))
    if isinstance(scene.style, Chart):
        assert outcome.requests.outage is None, outcome.requests.reasons
        assert outcome.requests.lost == 0, outcome.requests.reasons


def test_hang_of_a_worker_is_bounded_by_the_engine_s_timeout(scene: Scene) -> None:
    limit = START_LIMIT if isinstance(scene.style, Chart) else WATCHED
    outcome = scene.run(injections.freeze(WORKER, "vllm serve", "VLLM::"), PROBE, limit=limit)
    keep("worker frozen", scene.style, measured(outcome))
    if isinstance(scene.style, Chart):
        assert not outcome.hang
        assert outcome.requests.longest_hang < TIMEOUT + 15
        assert outcome.requests.outage is not None
        assert outcome.requests.outage < TIMEOUT + 15 + 1.3 * scene.plain_start
        assert outcome.tells("RPC call to .* timed out|a rank did not answer in time"), outcome.told
