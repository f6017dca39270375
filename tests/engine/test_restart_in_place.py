"""Restarts in place: vLLM over two nodes whose engine is killed, first within the limit, then beyond it."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
from openai import OpenAIError

from engine.reference import ANSWER, PRESET, START_LIMIT, USAGE, ask
from kit import nodeprocesses
from kit.cluster import Object, is_ready
from kit.doctor import ask as ask_doctor
from kit.progress import say, wait_until
from kit.release import Release
from kit.simulated import is_local_cluster

pytestmark = [
    pytest.mark.engine,
    pytest.mark.minutes(5),
    pytest.mark.skipif(not is_local_cluster(), reason="signals processes of nodes, which must run on this machine"),
]
VALUES = {"group": {"inPlaceRestart": {"enabled": True, "maxRestarts": 3, "standby": True}}}
MOST, MOST_WITHOUT = 0.8, 1.5
"""Time of a restart in place, times that of a recreated group in the same run, beside other tests: the fastest one with
vLLM imported in advance, and the one without, as recreated pods import vLLM, too."""
IMPORT_LIMIT = 300
"""Seconds until vLLM is imported again, ahead of the next restart, beside other tests."""
READY = "vLLM is imported for the next run"
CORE, RANK = "VLLM::EngineCore", "VLLM::Worker"
AGAIN = re.compile(r"restarted in place within \d+ s, .* in the last 3600 s, at most 3: rank \d, (\S+): ")


@pytest.fixture(scope="module")
def serving(namespace: str) -> Iterator[Release]:
    """Install the model, and wait until it answers."""
    release = Release(namespace)
    release.install(PRESET, values=VALUES)
    release.wait_available(START_LIMIT)
    assert ask(namespace) == (ANSWER, USAGE)
    yield release
    release.uninstall()


def pod(release: Release, name: str) -> Object:
    return next(one for one in release.pods() if one["metadata"]["name"] == name)


def identities(release: Release) -> list[tuple[str, int]]:
    """Return the identity of each pod, and how often its container has restarted."""
    return [
        (one["metadata"]["uid"], status["restartCount"])
        for one in release.pods()
        for status in one["status"]["containerStatuses"]
    ]


def answers_again(release: Release, inject: Callable[[], None]) -> float:
    """Return the seconds from a fault until all pods are ready, and the same request gets the same answer."""
    begun = time.monotonic()
    inject()

    def answered() -> bool:
        with suppress(OpenAIError):
            return ask(release.namespace) == (ANSWER, USAGE)
        return False

    wait_until("pod that is not ready", lambda: not all(map(is_ready, release.pods())), 30, period=0.2)
    wait_until("ready pods", release.available, START_LIMIT, period=0.5, state=release.describe)
    wait_until("answer", answered, START_LIMIT, state=release.describe)
    return time.monotonic() - begun


def kill(release: Release, name: str, process: str) -> None:
    """Kill a process of a pod."""
    nodeprocesses.send(signal.SIGKILL, *nodeprocesses.named(pod(release, name), process)[:1])


def imported(release: Release, count: int) -> bool:
    """Return whether vLLM was imported ahead so often in each pod."""
    logs = [release.logs("vllm-0", "vllm-leader"), release.logs("vllm-0-1", "vllm-worker")]
    return all(log.count(READY) == count for log in logs)


def end_standby(release: Release) -> None:
    """Kill the processes that have imported vLLM in advance."""
    for one in release.pods():
        nodeprocesses.send(signal.SIGKILL, *nodeprocesses.named(one, "import_ahead.py"))


def test_group_is_back_in_the_same_pods_until_it_fails_too_often(serving: Release) -> None:
    before, leader = identities(serving), "vllm-0"
    faults = [("vllm-0", CORE), ("vllm-0-1", RANK), ("vllm-0", RANK)]
    times = []
    for number, (name, process) in enumerate(faults, start=1):
        wait_until("standby processes", partial(imported, serving, number), IMPORT_LIMIT)
        if number == len(faults):
            end_standby(serving)
        times.append(answers_again(serving, partial(kill, serving, name, process)))
        say(f"{process} of {name} killed: answers again after {times[-1]:.0f} s")
        assert identities(serving) == before
    told = AGAIN.findall(serving.logs(leader, "vllm-leader"))
    assert told == [name for name, _ in faults]
    said = ask_doctor(serving.namespace)
    assert any("restarted in place 3 times" in finding.text for finding in said.findings), said.findings

    recreated = answers_again(serving, partial(kill, serving, leader, CORE))
    say(f"the fourth time, recreated: answers again after {recreated:.0f} s")
    ratios = ", ".join(f"{one / recreated:.2f}" for one in times)
    say(f"in place, times that: {ratios}; the last one imported vLLM first")
    assert not {uid for uid, _ in before} & {uid for uid, _ in identities(serving)}
    assert min(times[:-1]) <= MOST * recreated
    assert times[-1] <= MOST_WITHOUT * recreated
