"""What the leader decides for its group: whether the engines restart in place, and when.

It only counts and compares, and gets the time with each call, so that tests need no pods. A pod has a rank, 0 for the
leader, and every start of the engines is a run, counted from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

STOP_SECONDS = 30
"""Seconds until no process of the old run may be left in any pod. On an H200, their memory was free after 6 s."""
SILENT_SECONDS = 10
"""Seconds without a message after which a pod can't take part. Each sends one per second."""
SETTLE_SECONDS = (0.0, 1.0, 3.0, 3.0, 3.0)
"""Seconds to wait for the pod that failed first, by how likely the best report so far is an echo (``_echo``)."""
LOST_SECONDS = 30
"""Seconds without a message after which a start in place is given up; the processors are busy during a start."""
PEER_CLOSED = "a pod of this group has closed its "
"""What watch.sh says in a pod that only saw another pod end."""
KILLED = re.compile(r"exit status (129|1[3-9]\d)\b")
"""What entrypoint.sh says when a signal ended vLLM. It came from watch.sh with PEER_CLOSED or RANK_ENDED."""
RANK_ENDED = "a rank of this pod has ended"
"""What watch.sh says in a pod that lost a rank, and then what the log says of it."""
LOST_RANK = "died unexpectedly"
"""What vLLM logs when one of its processes is gone; other errors may come first, and follow from it."""
DIED = re.compile(rf"(Worker proc|Engine core process) \S+ {LOST_RANK}( \(exit code: (?P<code>\S+)\))?")
"""What vLLM (0.32, 0.33) says in the pod of a process that died. The code is None if vLLM looked too early."""
ABORTED = "-6"
"""Exit code of a rank that PyTorch's NCCL watchdog ended, perhaps because a rank of another pod had died."""
SAW = re.compile(r"ncclRemoteError|Connection (closed|reset) by peer|Read error \[|Worker failed with error")
"""Errors of NCCL, gloo, and vLLM in a pod that lost the connection to another rank, or was told of a rank's error."""
FULL_MEMORY = "out of memory, the pod has reached its limit"
"""What entrypoint.sh says when the kernel has killed a process. The kernel counts that until the container ends."""


class RunPhase(Enum):
    """What the group does."""

    STARTS = auto()
    SERVES = auto()
    SETTLES = auto()
    STOPS = auto()
    OVER = auto()


@dataclass(frozen=True)
class RestartLimits:
    """How often a group may restart in place.

    Attributes:
        restarts: most restarts within the window.
        window: seconds.
        budget: seconds that a start may take until the leader serves.
    """

    restarts: int
    window: float
    budget: float


@dataclass(frozen=True)
class Order:
    """What all pods of the group do.

    Attributes:
        verb: ``stop`` (end all processes of the run), ``start`` (the run), ``served`` (the run serves), or ``end``
            (never restart in place again).
        run: number of the run.
        why: reason of ``stop`` and ``end``.
        kill: with ``end``, whether to end the engines, too. Otherwise those that run go on, as without this program.
        measured: with ``start``, whether all pods know how much memory they had for the KV cache. Ranks that measure it
            would wait without end for others that don't.
    """

    verb: str
    run: int = 0
    why: str = ""
    kill: bool = False
    measured: bool = False


@dataclass
class Agreement:
    """The state of the group.

    Attributes:
        leader: name of the leader's pod.
        size: number of pods.
        limits: how often the group may restart in place.
    """

    leader: str
    size: int
    limits: RestartLimits
    run: int = 0
    phase: RunPhase = RunPhase.STARTS
    _heard: dict[int, float] = field(default_factory=dict)
    _leaving: set[int] = field(default_factory=set)
    _stopped: dict[int, bool] = field(default_factory=dict)
    _reasons: dict[int, str] = field(default_factory=dict)
    _unkept: dict[int, str] = field(default_factory=dict)
    _restarts: list[float] = field(default_factory=list)
    _since: float = 0.0
    _why: str = ""

    def heard(self, rank: int, now: float) -> None:
        """Note that a pod is there."""
        self._heard[rank] = now

    def lost(self, rank: int) -> None:
        """Note that the connection to a pod is closed."""
        self._heard.pop(rank, None)

    def leaving(self, rank: int) -> None:
        """Note that a pod is being deleted."""
        self._leaving.add(rank)

    def stopped(self, rank: int, run: int, measured: bool = False) -> None:
        """Note that no process of a run is left in a pod, and whether it knows its memory for the KV cache."""
        if run == self.run:
            self._stopped[rank] = measured

    def unkept(self, rank: int, why: str) -> None:
        """Note that a pod does not keep the weights for another run any more."""
        self._unkept.setdefault(rank, why)

    def ended(self, rank: int, run: int, why: str, now: float) -> Iterator[Order]:
        """Note that an engine has ended without being told to, and yield what follows."""
        if run != self.run or self.phase in (RunPhase.OVER, RunPhase.STOPS):
            return
        self._reasons[rank] = why
        if self.phase is RunPhase.STARTS:
            yield self._end(f"{self._reason()}, before the group served", kill=self.run > 0)
        elif self.phase is RunPhase.SERVES:
            self.phase, self._since = RunPhase.SETTLES, now

    def served(self, now: float) -> Iterator[Order]:
        """Note that the leader serves."""
        if self.phase is not RunPhase.STARTS:
            return
        self.phase = RunPhase.SERVES
        why = ""
        if self.run:
            often, took = _times(len(self._recent(now))), now - self._since
            within = f"in the last {self.limits.window:.0f} s, at most {self.limits.restarts}"
            why = f"restarted in place within {took:.0f} s, {often} {within}: {self._why}"
        yield Order("served", self.run, why)

    def tick(self, now: float) -> Iterator[Order]:
        """Yield what follows from the time, and from what was noted since the last call."""
        waited = now - self._since
        if self.phase is RunPhase.SETTLES:
            best = min(map(_echo, self._reasons.values()))
            if len(self._reasons) == self.size or waited >= SETTLE_SECONDS[best]:
                yield self._begin(now)
        elif self.phase is RunPhase.STOPS:
            yield from self._while_stopping(now, waited)
        elif self.phase is RunPhase.STARTS and self.run:
            if missing := self._missing(now, LOST_SECONDS):
                yield self._end(missing, kill=True)
            elif waited > self.limits.budget:
                yield self._end(f"the group did not serve within {self.limits.budget:.0f} s", kill=True)

    def _while_stopping(self, now: float, waited: float) -> Iterator[Order]:
        if missing := self._missing(now, SILENT_SECONDS) or self._without_weights():
            yield self._end(missing, kill=True)
        elif len(self._stopped) == self.size:
            yield self._start(now)
        elif waited > STOP_SECONDS:
            left = ", ".join(self._name(rank) for rank in range(self.size) if rank not in self._stopped)
            yield self._end(f"processes of {left} did not end within {STOP_SECONDS} s", kill=True)

    def _begin(self, now: float) -> Order:
        """Return the end of the run, or the reason not to restart in place."""
        self._why, count = self._reason(), len(self._recent(now))
        if FULL_MEMORY in self._why:
            return self._end(self._why)
        if count >= self.limits.restarts:
            often = f"{_times(count)} in the last {self.limits.window:.0f} s is enough (group.inPlaceRestart)"
            return self._end(f"{often}: {self._why}")
        if missing := self._missing(now, SILENT_SECONDS) or self._without_weights():
            return self._end(f"{missing}: {self._why}")
        self.phase, self._since = RunPhase.STOPS, now
        return Order("stop", self.run, self._why)

    def _start(self, now: float) -> Order:
        self.run += 1
        self._restarts.append(now)
        measured = all(self._stopped.values())
        self.phase, self._since, self._reasons, self._stopped = RunPhase.STARTS, now, {}, {}
        return Order("start", self.run, self._why, measured=measured)

    def _end(self, why: str, *, kill: bool = False) -> Order:
        self.phase = RunPhase.OVER
        return Order("end", self.run, why, kill)

    def _recent(self, now: float) -> list[float]:
        return [at for at in self._restarts if now - at < self.limits.window]

    def _missing(self, now: float, silent: float) -> str:
        """Return which pod can't take part and why, or nothing."""
        for rank in range(self.size):
            if rank in self._leaving:
                return f"{self._name(rank)} is being deleted"
            if now - self._heard.get(rank, -silent) >= silent:
                return f"{self._name(rank)} does not answer"
        return ""

    def _without_weights(self) -> str:
        """Return whose weight daemons are lost and why, or nothing."""
        for rank, why in self._unkept.items():
            return f"the weight daemons of {self._name(rank)} are lost ({why})"
        return ""

    def _reason(self) -> str:
        """Return which pod failed, and why: rather one that failed by itself, and the first of them."""
        rank = min(self._reasons, key=lambda one: _echo(self._reasons[one]))
        return f"rank {rank}, {self._name(rank)}: {self._reasons[rank]}"

    def _name(self, rank: int) -> str:
        return f"{self.leader}-{rank}" if rank else self.leader


def _echo(why: str) -> int:
    """Return how likely a pod has only seen another one end.

    It is 0 for a pod whose vLLM or rank was killed, 1 for one that does not mention other pods, 2 for one that saw
    another one end and logged an error of its own, 3 for one whose error is about another pod, and 4 for one that only
    saw another one end.
    """
    _, closed, rest = why.partition(PEER_CLOSED)
    if died := DIED.search(why):
        return 1 if died["code"] == ABORTED else 0
    if SAW.search(why):
        return 3
    if closed:
        return 2 if ";" in rest else 4
    return 0 if KILLED.search(why) and RANK_ENDED not in why else 1


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
