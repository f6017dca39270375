"""Faults in a row at random moments in a group whose engines restart in place; the tier of faults does it with vLLM."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from kit.randomfaults import SEED, Moment, RandomFault, Strike, Struck, random_faults
from kit.restartpods import FOLLOW, LATE, LEAD, SERVE, RunningGroup, RunningPod, running
from kit.scripts import inside, may_have_mounts, until

pytestmark = pytest.mark.slow
COUNT = 10
FIRST, SCRIPT = "restart.py", "entrypoint.sh"
RANKS = (Strike(0, LEAD), Strike(1, FOLLOW))
STRUCK = Struck(
    engine=(*RANKS, *(Strike(pod, process) for pod in (0, 1) for process in (SERVE, SCRIPT))),
    freezable=RANKS,
    others=(Strike(0, FIRST), Strike(1, FIRST)),
    longest=1.5,
)
SETTINGS: dict[str, Any] = {
    "START_SECONDS": 0.3,
    "STEP_SECONDS": 1,
    "MULTINODE_TICK": 0.2,
    "MULTINODE_PRESTOP_SECONDS": 0,
}
RESTARTS = 3


@dataclass
class RandomTrial:
    """A group that is recreated as LeaderWorkerSet does it: when a pod ends, all pods are deleted, and new ones start.

    Attributes:
        folder: a temporary directory.
        in_place: how often the groups before this one restarted in place.
        recreated: how often a group was recreated.
    """

    folder: Path
    in_place: int = 0
    recreated: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)

    def end(self) -> None:
        """End the group."""
        self._stack.close()

    def start(self) -> None:
        """Create a group that may restart in place ``RESTARTS`` times."""
        folder = self.folder / str(self.recreated)
        folder.mkdir()
        self.group: RunningGroup = self._stack.enter_context(running(folder, **SETTINGS))
        self.pods: list[RunningPod] = [self.group.leader, self.group.worker]

    def runs(self) -> int:
        """Return how often the group has restarted in place."""
        return max(pod.count("starts run") for pod in self.pods)

    def inject(self, fault: RandomFault) -> set[int]:
        """Do what a fault says, and return the processes of which none may be left once the group serves again."""
        if fault.moment is Moment.RESTARTING:
            first, second = fault.strikes
            return self._strike(signal.SIGKILL, first) | self._after(fault.delay, signal.SIGKILL, second)
        gone = self._after(fault.delay, signal.SIGSTOP if fault.freezes else signal.SIGKILL, *fault.strikes)
        self.group.ask()
        return gone

    def recreate(self, fault: RandomFault | None = None) -> None:
        """Delete the pods, with a fault meanwhile if one is given, and create them again."""
        deletions = [Thread(target=pod.delete) for pod in self.pods]
        if fault:
            self.group.ask()
        for deletion in deletions:
            deletion.start()
        if fault:
            self._after(fault.delay, signal.SIGKILL, *fault.strikes)
        ended = [pod.ends() is not None for pod in self.pods]
        for deletion in deletions:
            deletion.join()
        assert all(ended), self.said()
        self.in_place += self.runs()
        self.recreated += 1
        self._stack.close()
        self.start()

    def ended(self) -> bool:
        """Return whether a pod has ended."""
        return any(pod.process.poll() is not None for pod in self.pods)

    def over(self, gone: set[int]) -> bool:
        """Return whether a pod has ended, or the group is well."""
        return self.ended() or self.well(gone)

    def well(self, gone: set[int]) -> bool:
        """Return whether the group serves, and all pods are ready, without processes that must be gone."""
        with suppress(OSError, StopIteration):  # a pod ended meanwhile
            return not gone & self._processes() and self.group.answers() and not any(map(_not_ready, self.pods))
        return False

    def said(self) -> str:
        """Return both logs."""
        return "".join(line for pod in self.pods for line in (f"pod {self.pods.index(pod)}:\n", *pod.said))

    def _after(self, seconds: float, sign: signal.Signals, *strikes: Strike) -> set[int]:
        time.sleep(seconds)
        return self._strike(sign, *strikes)

    def _strike(self, sign: signal.Signals, *strikes: Strike) -> set[int]:
        """Send a signal to processes, and return all processes that were there, nothing when none was struck."""
        with suppress(OSError):  # a pod ended meanwhile
            there = self._processes()
            numbers = [number for strike in strikes for number in self.pods[strike.pod].first(strike.process)]
            for number in numbers:
                os.kill(number, sign)
            return there if numbers else set()
        return set()

    def _processes(self) -> set[int]:
        """Return the processes below PID 1 of both pods."""
        return {number for pod in self.pods for number in list(inside(pod.process))[1:]}


def _not_ready(pod: RunningPod) -> bool:
    return pod.probe("readiness") != 0


def test_group_serves_again_after_each_of_many_faults(tmp_path: Path) -> None:
    may_have_mounts()
    print(f"seed {SEED} (RANDOM_FAULTS_SEED)")
    trial = RandomTrial(tmp_path)
    trial.start()
    try:
        for fault in random_faults(COUNT, STRUCK):
            print(fault, flush=True)
            if fault.moment is Moment.DRAINING:
                trial.recreate(fault)
                continue
            stays = fault.moment is Moment.SERVING and trial.runs() < RESTARTS
            stays = stays and not any(strike.process == FIRST for strike in fault.strikes)
            gone = trial.inject(fault)
            assert until(partial(trial.over, gone), 2 * LATE), trial.said()
            assert max(trial.group.together, trial.group.crowd) <= 1, trial.said()
            if trial.ended():
                assert not stays, trial.said()
                trial.recreate()
                continue
            for pod in trial.pods:
                assert pod.shared_memory() == pod.own_shared_memory()
        print(f"{trial.in_place + trial.runs()} restarts in place, {trial.recreated} recreated groups")
        assert trial.in_place + trial.runs() >= 2
        assert trial.recreated >= 2
    finally:
        trial.end()
