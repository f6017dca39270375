"""How the ranks find each other, and how one that fails ends the others, which would wait for it."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from settings import BandwidthSpec, RankPlace, say

PERIOD = 0.5
"""Seconds between two looks at the store."""
LINGER = 5
"""Seconds for which the first rank keeps the store open after a failure, so that all others can read why."""
FAILED, READY = "failed", "ready"


class MeetingError(Exception):
    """Why the ranks did not meet."""


def meet(place: RankPlace, spec: BandwidthSpec) -> Any:
    """Return the store of the group once all ranks are there.

    Raises:
        MeetingError: not all came in time; the message says which are missing.
    """
    deadline = time.monotonic() + spec.meet
    store = _store(place, deadline)
    store.set(f"here/{place.rank}", place.node)
    if place.rank == 0:
        missing = _await_all(store, place.world, deadline)
        store.set(READY, json.dumps(missing))
    else:
        missing = _told(store, spec.meet + PERIOD)
    if missing:
        if place.rank == 0:
            time.sleep(LINGER)
        pods = dict.fromkeys(rank // max(1, spec.gpus) for rank in missing)
        raise MeetingError(
            f"{len(missing)} of {place.world} ranks did not come in {spec.meet:.0f} s, those of pod "
            f"{', '.join(map(str, pods))}"
        )
    return store


def _store(place: RankPlace, deadline: float) -> Any:
    host = _address(place.host, deadline)
    left = timedelta(seconds=max(1, deadline - time.monotonic()))
    try:
        return dist.TCPStore(host, place.port, place.world, place.rank == 0, left, wait_for_workers=False)
    except (RuntimeError, OSError) as error:  # torch's DistNetworkError is a RuntimeError
        first = str(error).splitlines()[0]
        raise MeetingError(f"the first rank at {place.host}:{place.port} can't be reached: {first}") from error


def _address(host: str, deadline: float) -> str:
    """Return the address of a name; that of a pod resolves once the pod has an address."""
    while True:
        try:
            return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
        except OSError as error:
            if time.monotonic() + 1 > deadline:
                raise MeetingError(f"the name {host} does not resolve: {error.strerror}") from error
            time.sleep(1)


def _told(store: Any, seconds: float) -> list[int]:
    """Return the ranks that have not come, as the first rank says."""
    store.set_timeout(timedelta(seconds=seconds))
    try:
        missing: list[int] = json.loads(store.get(READY))
    except (RuntimeError, OSError) as error:
        raise MeetingError("the first rank has gone while it waited for others") from error
    return missing


def _await_all(store: Any, world: int, deadline: float) -> list[int]:
    """Return the ranks that have not come in time."""
    said = 0
    while True:
        missing = [rank for rank in range(world) if not store.check([f"here/{rank}"])]
        if not missing or time.monotonic() > deadline:
            return missing
        if len(missing) != said:
            say(f"waiting for {len(missing)} of {world} ranks")
            said = len(missing)
        time.sleep(PERIOD)


class RankWatch(threading.Thread):
    """Ends this process when another rank has failed, or when the time is up: a collective waits without end."""

    def __init__(self, place: RankPlace, limit: float, tell: Callable[[dict[str, Any]], object]) -> None:
        """Watch with a connection of its own, as the other one may be in use.

        Args:
            place: where this process is.
            limit: seconds until the measurement must have ended.
            tell: takes the failure, a node and a text, before the process ends.
        """
        super().__init__(daemon=True)
        self.place, self.tell, self.limit = place, tell, limit
        self.stage = "the start"
        self.over = threading.Event()
        self.deadline = time.monotonic() + limit
        self._ends = threading.Lock()
        self.store = dist.TCPStore(place.host, place.port, None, False, timedelta(seconds=30), wait_for_workers=False)

    def run(self) -> None:
        """Show that this rank lives, and look after the others, until the measurement is over."""
        while not self.over.wait(PERIOD):
            try:
                self.store.add(f"beat/{self.place.rank}", 1)
                failed = self.store.check([FAILED])
            except (RuntimeError, OSError):
                self._end({"node": None, "text": f"the first rank has gone during {self.stage}"})
            if failed:
                self._end(json.loads(self.store.get(FAILED)))
            if time.monotonic() > self.deadline:
                self.fail(f"{self.stage} did not end in {self.limit:.0f} s", own=False)

    def fail(self, text: str, *, own: bool) -> None:
        """Tell all ranks what has failed, and end.

        Args:
            text: what has failed.
            own: whether this rank has an error of its own, and did not only wait.
        """
        failure = {"node": self.place.node if own else None, "text": text}
        try:
            silent = self._silent()
            if silent:
                failure = {"node": silent[0] if len(silent) == 1 else None, "text": _gone(silent, text)}
            if not self.store.check([FAILED]):
                self.store.set(FAILED, json.dumps(failure))
            failure = json.loads(self.store.get(FAILED))
        except (RuntimeError, OSError, ValueError):  # the store is gone, and with it the first rank
            pass
        self._end(failure)

    def _silent(self) -> list[str]:
        """Return the nodes with ranks that do not show that they live, neither now nor a moment later."""
        ranks = [rank for rank in range(self.place.world) if rank != self.place.rank]
        before = {rank: self.store.add(f"beat/{rank}", 0) for rank in ranks}
        time.sleep(4 * PERIOD)
        still = [rank for rank in ranks if self.store.add(f"beat/{rank}", 0) == before[rank]]
        return [*dict.fromkeys(self.store.get(f"here/{rank}").decode() for rank in still)]

    def _end(self, failure: dict[str, Any]) -> None:
        if not self._ends.acquire(blocking=False):  # the other thread ends this process
            threading.Event().wait()
        self.tell(failure)
        if self.place.rank == 0:
            time.sleep(LINGER)
        os._exit(1)


def _gone(nodes: list[str], text: str) -> str:
    verb = "has ended or hangs" if len(nodes) == 1 else "have ended or hang"
    return f"a rank of {' and of '.join(nodes)} {verb}: {text}"
