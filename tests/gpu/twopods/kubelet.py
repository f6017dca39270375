"""What a kubelet does for a pod: its probes, and the way in which it ends a container.

The rules are those of Kubernetes 1.36 (pkg/kubelet/prober/worker.go, pkg/kubelet/kuberuntime/kuberuntime_container.go);
``tests/cluster/test_twopods_kubelet.py`` compares them with a real kubelet.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from gpu.twopods.container import Container
from gpu.twopods.events import Event
from gpu.twopods.podspec import Probe
from gpu.twopods.probing import failure

LEAST_GRACE = 2
"""Seconds that a container has after SIGTERM, also when its hook has used its time up (kuberuntime_manager.go)."""
TICK = 0.05
OUTPUT = 1000
"""Characters of a probe's output that are kept."""


@dataclass
class _Tally:
    """A probe and its last results."""

    probe: Probe
    due: float
    last: bool | None = None
    run: int = 0
    hold: bool = False


@dataclass
class Kubelet:
    """Watches over one container.

    Attributes:
        container: that it has started.
        events: what it reported.
        terminated: when it sent SIGTERM.
        started, ready: the states of the pod, with the time since when they hold.
    """

    container: Container
    events: list[Event] = field(default_factory=list)
    started: float | None = None
    ready: float | None = None
    unready: float | None = None
    terminating: bool = False
    terminated: float | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start the container and its probes.

        Raises:
            ProgramFailed: it does not begin.
        """
        self.report("Scheduled", f"Successfully assigned {self.container.pod.namespace}/{self.container.pod.name}")
        self.container.start()
        self.report("Started", "Container started")
        threading.Thread(target=self._watch, daemon=True).start()

    def report(self, reason: str, message: str) -> None:
        """Add an event, or count one more of the same."""
        now = time.monotonic()
        with self._lock:
            for event in self.events:
                if (event.reason, event.message) == (reason, message):
                    event.last, event.count = now, event.count + 1
                    return
            self.events.append(Event(reason, message, now, now))

    def _watch(self) -> None:
        """Probe until the container has ended: each kind of probe in a thread of its own, as one may take its time."""
        probes = self.container.pod.probes()
        if not any(probe.kind == "startup" for probe in probes):
            self.started = time.monotonic()
        if not any(probe.kind == "readiness" for probe in probes):
            self.ready = time.monotonic()
        tallies = {probe.kind: _Tally(probe, self.container.started_at) for probe in probes}
        threads = [
            threading.Thread(target=self._keep, args=(tally, tallies), daemon=True) for tally in tallies.values()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _keep(self, tally: _Tally, all_of: dict[str, _Tally]) -> None:
        while not self._stop.wait(TICK) and self.container.running():
            now = time.monotonic()
            if now < tally.due:
                continue
            while tally.due <= now:  # a ticker drops what comes while a probe runs
                tally.due += tally.probe.period
            if self._applies(tally):
                self._count(tally, self._answers(tally.probe), all_of)
        if self.ready:
            self.ready, self.unready = None, time.monotonic()

    def _applies(self, tally: _Tally) -> bool:
        """Return whether a probe runs now."""
        kind = tally.probe.kind
        if tally.hold or (self.terminating and kind != "readiness"):
            return False
        if int(time.monotonic() - self.container.started_at) < tally.probe.initial:
            return False
        return (self.started is None) == (kind == "startup")

    def _count(self, tally: _Tally, good: bool, all_of: dict[str, _Tally]) -> None:
        """Count a result, and act when a threshold is reached."""
        tally.run = tally.run + 1 if tally.last == good else 1
        tally.last = good
        if tally.run < (tally.probe.successes if good else tally.probe.failures):
            return
        now, kind = time.monotonic(), tally.probe.kind
        if kind == "readiness":
            if good and self.ready is None:
                self.ready, self.unready = now, None
            elif not good and self.ready is not None:
                self.ready, self.unready = None, now
            return
        if kind == "startup" or not good:
            tally.hold, tally.run = True, 0
        if kind == "startup" and good:
            self.started = now
            if "readiness" in all_of:
                all_of["readiness"].due = now  # the kubelet triggers it at once
        elif not good:
            name = self.container.pod.container["name"]
            threading.Thread(
                target=self.stop, args=(f"Container {name} failed {kind} probe, will be restarted",), daemon=True
            ).start()

    def _answers(self, probe: Probe) -> bool:
        """Run a probe once, and report a failure."""
        said = failure(self.container, probe)
        if said is not None and self.container.running():
            self.report("Unhealthy", f"{probe.kind.capitalize()} probe failed: {said[:OUTPUT]}")
        return said is None

    def stop(self, why: str = "") -> None:
        """End the container: preStop, SIGTERM, and SIGKILL when the grace period is over.

        Args:
            why: message of the event.
        """
        with self._lock:
            if self.terminating or not self.container.running():
                return
            self.terminating = True
        name = self.container.pod.container["name"]
        left = self.container.pod.grace
        self.report("Killing", why or f"Stopping container {name}")
        if self.container.pod.pre_stop and left > 0:
            left -= int(self._pre_stop(left))
        until = time.monotonic() + max(left, LEAST_GRACE)
        self.terminated = time.monotonic()
        self.container.signal(signal.SIGTERM)
        while self.container.running() and time.monotonic() < until:
            time.sleep(TICK)
        self.container.kill()

    def _pre_stop(self, limit: float) -> float:
        """Run the hook, at most for the grace period, and return how long it took."""
        begin = time.monotonic()
        try:
            status, _ = self.container.execute(self.container.pod.pre_stop, limit)
        except TimeoutError:
            status = 0  # the kubelet goes on without an event
        if status:
            self.report("FailedPreStopHook", "PreStopHook failed")
        return time.monotonic() - begin

    def end(self) -> None:
        """Stop watching, and kill what is left."""
        self._stop.set()
        with suppress(OSError):
            self.container.kill()


def in_parallel(*calls: Callable[[], None]) -> None:
    """Run calls side by side, and wait for all."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
