"""Faults in a row at random moments in a group whose engines restart in place, under traffic."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from faults.injections import CORE, LEADER, RANK, SERVER, WORKER, delete
from faults.scene import START_LIMIT, Scene
from faults.styles import Chart
from kit import nodeprocesses
from kit.api import Refused
from kit.cluster import Object
from kit.progress import say, wait_until
from kit.randomfaults import SEED, Moment, RandomFault, Strike, Struck, random_faults
from kit.traffic import Load, Traffic

pytestmark = pytest.mark.faults
COUNT = 20
LOAD = Load(clients=1, tokens=24, pause=0.5)
"""Requests run at any time, as they do when a pod is deleted."""
FIRST, SCRIPT = "restart.py", "entrypoint.sh"
STAY = ("/pause", FIRST)
"""Words of the processes that a restart in place leaves."""
RANKS = (Strike(0, RANK), Strike(1, RANK))
STRUCK = Struck(
    engine=(*RANKS, Strike(0, CORE), *(Strike(pod, process) for pod in (0, 1) for process in (SERVER, SCRIPT))),
    freezable=RANKS,
    others=(Strike(0, FIRST), Strike(1, FIRST)),
    longest=20,
)
AHEAD = "import_ahead.py"
"""Word of the process that has imported vLLM for the next run. All processes of that run are in one session."""
VALUES = {"group": {"inPlaceRestart": {"enabled": True, "maxRestarts": COUNT, "standby": True}}}


@dataclass
class Watch:
    """Looks all the time how many engines there are.

    Attributes:
        style: the release.
        runs: the most runs of which processes were there at one moment, while no pod was on its way to be recreated:
            a container whose PID 1 was killed starts again before LeaderWorkerSet deletes the pods.
        servers: the most servers that were there in one pod at one moment.
    """

    style: Chart
    runs: int = 0
    servers: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look until the end."""
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join()

    def _look(self) -> None:
        while not self.over.wait(1):
            with suppress(Refused):  # the API server is busy
                pods = self.style.pods()
                found = [_servers(pod) for pod in pods]
                still = [[port for number, port in one.items() if _alive(number)] for one in found]
                self.servers = max(self.servers, *map(len, still), 0)
                runs = len({port for ports in still for port in ports})
                if runs > self.runs and all(map(_stays, self.style.pods())):
                    self.runs = runs


def _stays(pod: Object) -> bool:
    """Return whether a pod is neither being deleted nor has a container that has restarted."""
    restarts = sum(status["restartCount"] for status in pod["status"].get("containerStatuses", []))
    return "deletionTimestamp" not in pod["metadata"] and not restarts


def _servers(pod: Object) -> dict[int, str]:
    """Return the first process of each engine of a pod, which has no parent like itself, and its master port."""
    found = {number: command for number, command in nodeprocesses.of_pod(pod).items() if SERVER in command}
    ports = {number: re.findall(r"--master-port (\d+)", command) for number, command in found.items()}
    return {number: port for number, (port, *_) in ports.items() if nodeprocesses.parent(number) not in found}


def _alive(number: int) -> bool:
    return nodeprocesses.parent(number) is not None


@dataclass
class RandomFaults:
    """A group into which faults are injected.

    Attributes:
        style: the release.
        traffic: requests.
        in_place: how often the group restarted in place.
        recreated: how often it was recreated.
    """

    style: Chart
    traffic: Traffic
    in_place: int = 0
    recreated: int = 0

    def run(self, fault: RandomFault) -> None:
        """Inject a fault, wait until the group serves again, and look for what is left of the time before.

        Raises:
            TooLate: it does not, or something is left.
        """
        wait_until("standby processes", self._next_run_waits, START_LIMIT, state=self.style.describe)
        pods = self.style.pods()
        before = {_uid(pod): _left(pod) for pod in pods}
        shared = {_uid(pod): _shared(pod) for pod in pods}
        struck = self._inject(fault)
        moment = time.time()
        wait_until("recovery", partial(self._well, moment, struck, before), START_LIMIT, state=self.style.describe)
        after = self.style.pods()
        stays = {_uid(pod) for pod in after} == set(before)
        say(f"{fault}: {'restarted in place' if stays else 'recreated'} after {time.time() - moment:.0f} s")
        self.in_place, self.recreated = self.in_place + stays, self.recreated + (not stays)
        if fault.moment is Moment.SERVING and not set(fault.strikes) & set(STRUCK.others):
            assert stays, self.style.describe()
        if stays and struck:
            for pod in after:
                assert not shared[_uid(pod)] & _shared(pod)
                assert len(_shared(pod)) <= len(shared[_uid(pod)])

    def _next_run_waits(self) -> bool:
        """Return whether every pod has a process for the next run: what comes before it is not told from the engine."""
        return all(len(nodeprocesses.named(pod, AHEAD)) == 1 for pod in self.style.pods())

    def _inject(self, fault: RandomFault) -> bool:
        """Do what a fault says, and return whether it ends the engines or the pods."""
        if fault.moment is Moment.DRAINING:
            delete(LEADER)(self.style)
            self._strike(fault.delay, *fault.strikes)
            return True
        if fault.moment is Moment.RESTARTING:
            first, second = fault.strikes
            self._strike(0, first)
            self._strike(fault.delay, second)
            return True
        return self._strike(fault.delay, *fault.strikes, sign=signal.SIGSTOP if fault.freezes else signal.SIGKILL)

    def _strike(self, seconds: float, *strikes: Strike, sign: signal.Signals = signal.SIGKILL) -> bool:
        """Send a signal to processes after some time, and return whether they were there."""
        time.sleep(seconds)
        numbers = []
        for strike in strikes:
            pod = self.style.pod((LEADER, WORKER)[strike.pod])
            numbers += nodeprocesses.named(pod, strike.process)[:1] if pod else []
        for number in numbers:
            with suppress(ProcessLookupError):  # it ended meanwhile
                nodeprocesses.send(sign, number)
        return bool(numbers)

    def _well(self, moment: float, struck: bool, before: dict[str, set[int]]) -> bool:
        """Return whether the group serves, and no process of the time before is left if there was a fault."""
        left = {number for numbers in before.values() for number in numbers if _alive(number)}
        return not (struck and left) and self.style.available() and self.traffic.answered_since(moment)


def _uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def _left(pod: Object) -> set[int]:
    """Return the processes of a pod that no restart in place leaves: all but PID 1 and those of the next run."""
    found = nodeprocesses.of_pod(pod)
    waiting = {_session(number) for number, command in found.items() if AHEAD in command}
    left = {number for number, command in found.items() if not any(word in command for word in STAY)}
    return {number for number in left if _session(number) not in waiting}


def _session(number: int) -> int:
    """Return the session of a process, 0 when it has ended."""
    with suppress(ProcessLookupError):
        return os.getsid(number)
    return 0


def _shared(pod: Object) -> frozenset[tuple[str, int]]:
    """Return the name and the inode of each file in the shared memory of a pod."""
    (first, *_) = nodeprocesses.named(pod, FIRST)
    return frozenset((file.name, file.stat().st_ino) for file in Path(f"/proc/{first}/root/dev/shm").iterdir())


def test_group_serves_again_after_each_of_many_faults(namespace: str) -> None:
    say(f"seed {SEED} (RANDOM_FAULTS_SEED)")
    style = Chart(namespace)
    scene = Scene(style, lambda _: style.start(VALUES))
    scene.start()
    watch = Watch(style)
    with scene.traffic(LOAD) as driver, watch.looking():
        faults = RandomFaults(style, driver)
        for fault in random_faults(COUNT, STRUCK):
            faults.run(fault)
            assert max(watch.runs, watch.servers) <= 1
    say(f"{faults.in_place} restarts in place, {faults.recreated} recreated groups")
    assert faults.in_place >= COUNT // 4
    assert faults.recreated >= COUNT // 5
    style.uninstall()
