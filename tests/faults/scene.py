"""A group that serves in one of the two styles, and what a fault does to it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import yaml

from faults.styles import MANIFESTS, Style
from kit.cluster import Object, objects
from kit.doctor import ask, asked_all_the_time
from kit.progress import TooLate, say, wait_until
from kit.traffic import PROBE, Load, Summary, Traffic, summary, traffic
from localcluster.node import FIRST
from vmn.core.cluster.events import read_event

START_LIMIT = 400
"""Seconds until a group serves: 20 to 45 on two cores, and several times that when they are busy."""
SETTLED = 4
"""Seconds of traffic before and after a fault."""
ANSWER_LIMIT = 60
"""Seconds for the first answer then: 5 when two cores are busy, more when they have three groups."""
TELLING = ("RecreateGroup", "Unhealthy", "BackOff", "Failed", "TaintManagerEviction")
"""Reasons of events that tell of a fault."""


@dataclass(frozen=True)
class Outcome:
    """What a fault did.

    Attributes:
        requests: what became of them.
        ratio: the outage against a plain start of the same style in the same run, nothing when there was none.
        hang: whether it did not serve at the end of the observation, or the last request was not answered.
        reported: reasons of events that told of it.
        doctor: verdicts of ``vmn doctor`` meanwhile.
        told: what it said that it had not said before, notes on the past with it.
        observed: seconds that it was watched for.
    """

    requests: Summary
    ratio: float | None
    hang: bool
    reported: tuple[str, ...]
    doctor: tuple[str, ...]
    told: tuple[str, ...]
    observed: float

    def tells(self, pattern: str) -> bool:
        """Return whether the doctor said something that a pattern is in."""
        return any(re.search(pattern, text) for text in self.told)


@dataclass
class Scene:
    """A style in a namespace.

    Attributes:
        style: what serves.
        how: starts it.
        plain_start: seconds that a start took to which nothing was done.
        hung: it did not come back after the last fault.
    """

    style: Style
    how: Callable[[Style], None] = lambda style: style.start()
    plain_start: float = 0.0
    hung: bool = False

    def start(self) -> None:
        """Start it and wait until the first request is answered.

        Raises:
            TooLate: it does not serve.
        """
        with self.traffic(PROBE) as driver:
            begin = time.time()
            self.how(self.style)
            wait_until("answer", lambda: driver.answered_since(begin), START_LIMIT, period=2, state=self.style.describe)
            first = min(record.started for record in driver.records() if record.result == "answered")
        self.plain_start = first - begin
        self.style.wait_available(START_LIMIT)
        say(f"plain start: {self.plain_start:.0f} s")

    def start_again(self) -> None:
        """Remove it and start it again: the next fault is compared with this start.

        Raises:
            TooLate: it does not serve.
        """
        self.style.uninstall()
        self.start()

    @contextmanager
    def traffic(self, load: Load) -> Iterator[Traffic]:
        """Send requests from the node that stays."""
        pod, container = _engine_pod()
        with traffic(self.style.namespace, container, pod["volumes"], load, FIRST.name) as driver:
            yield driver

    def run(
        self,
        inject: Callable[[Style], None],
        load: Load = PROBE,
        *,
        limit: float = START_LIMIT,
        recovered: Callable[[], bool] | None = None,
    ) -> Outcome:
        """Inject a fault into a group that serves and watch until it serves again.

        Args:
            inject: what is done.
            load: requests meanwhile.
            limit: seconds of watching; what does not serve by then hangs.
            recovered: what else must hold at the end; by default all pods serve.
        """
        if self.hung:  # the next fault is for a group that serves
            self.start_again()
        ready = recovered or self.style.available
        before = ask(self.style.namespace)
        with self.traffic(load) as driver, asked_all_the_time(self.style.namespace) as said:
            time.sleep(SETTLED)
            first = "answer before the fault"
            wait_until(first, lambda: driver.answered_since(0), ANSWER_LIMIT, state=self.style.describe)
            moment = time.time()
            inject(self.style)
            # From when all of it is done on: a request that was answered in between tells nothing.
            settled = self._settled(driver, time.time(), ready, limit)
            records = driver.stop()
        said.add(ask(self.style.namespace))
        found = summary(records, moment)
        self.hung = not settled or found.unanswered_at_the_end
        ratio = found.outage / self.plain_start if found.outage is not None else None
        outcome = Outcome(
            requests=found,
            ratio=ratio,
            hang=self.hung,
            reported=tuple(self.reported(moment)),
            doctor=tuple(said.verdicts),
            told=tuple(said.since(before)),
            observed=time.time() - moment,
        )
        say(json.dumps(outcome, default=vars))
        return outcome

    def _settled(self, driver: Traffic, moment: float, ready: Callable[[], bool], limit: float) -> bool:
        """Return whether requests are answered and the group is whole, for some seconds, within a limit."""
        since = 0.0

        def settled() -> bool:
            nonlocal since
            well = ready() and driver.answered_since(max(moment, time.time() - SETTLED - 20))
            since = (since or time.time()) if well else 0.0
            return bool(since) and time.time() - since > SETTLED and time.time() - moment > 2 * SETTLED

        try:
            wait_until("recovery", settled, limit, period=2, state=self.style.describe)
        except TooLate as error:
            say(str(error))
            return False
        return True

    def reported(self, since: float) -> Iterator[str]:
        """Yield the reasons of events that Kubernetes told since a moment."""
        seen = set()
        for event in objects("events", namespace=self.style.namespace):
            found = read_event(event)
            if found.reason.startswith(TELLING) and (found.last or 0.0) >= since - 1:
                seen.add(found.reason)
        yield from sorted(seen)


@contextmanager
def serving(style: Style, replicas: int = 1) -> Iterator[Scene]:
    """Start a style, give it when it serves, and remove it at the end."""
    scene = Scene(style, lambda own: own.start(replicas=replicas))
    scene.start()
    yield scene
    style.uninstall()


def _engine_pod() -> tuple[Object, Object]:
    """Return the reference's pod and the fields of its container that make the driver's pod run."""
    lws: Object = next(yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8")))
    pod: Object = lws["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]
    container = pod["containers"][0]
    mounts: Sequence[Object] = [mount for mount in container["volumeMounts"] if mount["name"] == "engine"]
    return pod, {"image": container["image"], "volumeMounts": mounts}
