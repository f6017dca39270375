"""About how long a run takes, and how long a start may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmn.core.bench.points import Point
from vmn.core.cluster.release import Pod
from vmn.core.cluster.snapshot import Object
from vmn.core.cluster.timestamps import seconds
from vmn.core.speed.workload import Speed

JOB_SECONDS = 45.0
"""What the pod of a measurement takes before it asks: its start, and importing vLLM (20 to 60 s measured)."""
SWAP_SECONDS = 40.0
"""What an upgrade takes in addition to a start: the leader's drain without requests, then the workers' end and delay
(20 s measured with LWS 0.9)."""
SLOWER = 3.0
"""Times the last start that a start may take."""
LEAST_START = 300
"""Seconds that a start may take at least."""
WITHOUT_PROBE = 3600
"""Seconds that a start may take where no startup probe says it: the chart's default."""


@dataclass(frozen=True)
class Duration:
    """About how long a run takes.

    Attributes:
        start: seconds of a start, None if not known.
        measurement: seconds of the measurements of one setting, None if not known.
        settings: number of settings that are tried.
    """

    start: float | None
    measurement: float | None
    settings: int

    @property
    def starts(self) -> int:
        """Starts of the release: one for each setting, and one to put back what was found."""
        return self.settings + 1

    @property
    def measurements(self) -> int:
        """Measurements: each setting, and what runs now before and after."""
        return self.settings + 2

    @property
    def words(self) -> str:
        """The whole in a sentence."""
        parts = [_times(self.starts, "start", self.start), _times(self.measurements, "measurement", self.measurement)]
        if self.start is None or self.measurement is None:
            return f"It takes {' and '.join(parts)}."
        whole = self.starts * self.start + self.measurements * self.measurement
        return f"It takes about {in_words(whole)}: {' and '.join(parts)}."


def _times(count: int, what: str, each: float | None) -> str:
    return f"{count} {what}s" + (f" of about {in_words(each)}" if each is not None else "")


def in_words(duration: float) -> str:
    """Return seconds as people say them."""
    if duration < 90:
        return f"{duration:.0f} s"
    if duration < 90 * 60:
        return f"{duration / 60:.0f} min"
    return f"{duration / 3600:.1f} h"


def last_start(leaders: Sequence[Pod], budget: float) -> float | None:
    """Return how long the slowest leader took to serve, None if it is not known.

    Args:
        leaders: the leaders that serve.
        budget: seconds that a start may take; a pod that became ready later was unready in between.
    """
    found = []
    for pod in leaders:
        ready = seconds(pod.condition("Ready").get("lastTransitionTime"))
        if ready is not None and pod.created_at is not None and 0 <= ready - pod.created_at <= budget:
            found.append(ready - pod.created_at)
    return max(found) if found else None


def startup_budget(template: Object) -> float:
    """Return the seconds that Kubernetes gives vLLM's container of a pod template to start."""
    probe = template["spec"]["containers"][0].get("startupProbe") or {}
    allowed = float(
        probe.get("failureThreshold", 0) * probe.get("periodSeconds", 10) + probe.get("initialDelaySeconds", 0)
    )
    return allowed or WITHOUT_PROBE


def start_limit(last: float | None, budget: float, grace: float) -> float:
    """Return the seconds after which a setting counts as one that does not start.

    Args:
        last: seconds of the last start, None if not known.
        budget: seconds that Kubernetes gives it.
        grace: seconds that the pods before may take to end.
    """
    return grace + (budget if last is None else min(budget, max(LEAST_START, SLOWER * last)))


def measurement_seconds(points: Sequence[Point], speed: Speed | None) -> float | None:
    """Return how long the measurements of one setting take by the plan, None without a prediction.

    Args:
        points: what is measured.
        speed: the predicted speed of a group with its part.
    """
    if speed is None:
        return None
    each = speed.first.expected + speed.each.expected * (speed.workload.answer - 1)
    rounds = sum(-(-point.requests // point.most) + 1 for point in points)
    return JOB_SECONDS + rounds * each
