"""What settings can be tried on a running release, and whether they may be."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmn.adapters.engine_metrics import read_traffic
from vmn.adapters.helm_release import HelmError, HelmRelease, unpack_chart, write_private
from vmn.adapters.leaders import Leaders
from vmn.adapters.programs import require
from vmn.app import bench
from vmn.app.validation import values_problems
from vmn.core.bench.points import Point
from vmn.core.reporting import Say
from vmn.core.speed.choice import Variant
from vmn.core.tune.candidates import candidates, other_layout, with_prediction
from vmn.core.tune.duration import SWAP_SECONDS, Duration, last_start, measurement_seconds, startup_budget
from vmn.core.tune.history import unfit
from vmn.core.tune.setting import TunedSetting
from vmn.core.tune.traffic import serves_others
from vmn.core.tune.trial import Outcome, Trial

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LOOK_SECONDS = 10.0
"""Seconds between two readings of the counters before anything is changed."""
AGAIN_SECONDS = 2.0
"""Seconds after which a request of the chart itself, for one token, has ended."""


class TuneError(Exception):
    """A release is not tuned; the message says why."""


@dataclass(frozen=True)
class Target:
    """A release as it was found.

    Attributes:
        client: client of the cluster.
        leaders: what it serves.
        helm: the release for Helm.
        revision: number of the revision.
        chart: its chart.
        values: file with the values that the user gave.
        work: directory for files that are needed meanwhile.
    """

    client: ApiClient
    leaders: Leaders
    helm: HelmRelease
    revision: int
    chart: Path
    values: Path
    work: Path

    @property
    def name(self) -> str:
        """Name of the LeaderWorkerSet."""
        return self.leaders.served.release

    @property
    def namespace(self) -> str:
        return self.leaders.served.namespace


@dataclass(frozen=True)
class TuneRequest:
    """What to measure, and how patiently.

    Attributes:
        goal: one of ``core.tune.candidates.GOALS``.
        points: what is measured for each setting.
        timeout: seconds for the measurements of a setting.
        start_timeout: seconds for a start, None to derive it from the last one.
        despite_others: whether to go on although the release serves other clients.
    """

    goal: str
    points: Sequence[Point]
    timeout: int
    start_timeout: int | None = None
    despite_others: bool = False


def find_target(client: ApiClient, leaders: Leaders, options: Sequence[str], chart: Path | None, work: Path) -> Target:
    """Return a release that can be tuned.

    Args:
        client: client of the cluster.
        leaders: the release.
        options: Helm's options that name the cluster.
        chart: directory of its chart; the one that Helm keeps with it if None.
        work: directory for its chart and its values.

    Raises:
        TuneError: it can't be tuned.
        MissingError: Helm or a right is missing.
    """
    require(["helm"])
    helm = HelmRelease(leaders.helm_name, leaders.served.namespace, tuple(options))
    try:
        history = helm.history()
        if why := unfit(leaders.lws, history):
            raise TuneError(why)
        revision = history[-1].number
        values = write_private(work / "values.json", helm.values(revision))
        own = chart or unpack_chart(client, helm, revision, work)
        if _groups_of(helm.rendered(own, [values])) != _groups_of(helm.manifest(revision)):
            raise TuneError(
                f"With the chart in {own}, the release's own values give another LeaderWorkerSet than revision "
                f"{revision} has. Measurements would compare both charts. Name the release's own chart with --chart."
            )
    except HelmError as error:
        raise TuneError(str(error)) from error
    return Target(client, leaders, helm, revision, own, values, work)


def _groups_of(objects: Sequence[dict[str, Any]]) -> list[Any]:
    return [item["spec"] for item in objects if item["kind"] == "LeaderWorkerSet"]


def ranked_settings(
    expected: bench.Expectation, target: Target, point: Point, goal: str, most: int
) -> list[TunedSetting]:
    """Return the settings that the plan ranks best, the best first."""
    return candidates(_now(expected, point), target.leaders.served.flags, goal, most)


def better_layout(expected: bench.Expectation, point: Point, goal: str) -> TunedSetting | None:
    """Return another layout of the same nodes of which the plan expects much more, None if there is none."""
    return other_layout(_now(expected, point), goal)


def with_predictions(
    expected: bench.Expectation, settings: Sequence[TunedSetting], point: Point, goal: str
) -> list[TunedSetting]:
    """Return settings of the user with what the plan expects of them, where it knows their flags."""
    now = _now(expected, point)
    return [with_prediction(now, setting, goal) for setting in settings]


def _now(expected: bench.Expectation, point: Point) -> Variant:
    return Variant(expected.context, expected.prediction, expected.speed_of(point))


def allowed(target: Target, settings: Sequence[TunedSetting], say: Say) -> tuple[list[TunedSetting], list[Trial]]:
    """Return the settings that the chart and vLLM's interface accept, and a trial for each one that they refuse."""
    if not settings:
        return [], []
    say("checking the settings with the chart")
    accepted, refused = [], []
    for setting in settings:
        problems = values_problems(target.chart, target.values, fragment_file(target, setting))
        before = values_problems(target.chart, target.values) if problems else []
        if new := [one for one in problems if (one.key, one.reason) not in {(old.key, old.reason) for old in before}]:
            refused.append(Trial(setting, Outcome.REFUSED, "; ".join(f"{one.key}: {one.message}" for one in new)))
        else:
            accepted.append(setting)
    return accepted, refused


def fragment_file(target: Target, setting: TunedSetting) -> Path:
    """Write the values of a setting to a file, and return it."""
    return write_private(target.work / "setting.json", setting.values)


def duration(target: Target, points: Sequence[Point], expected: bench.Expectation | None, settings: int) -> Duration:
    """Return about how long trying some settings takes."""
    last = last_start_of(target)
    predicted = expected.speed_of(points[0]) if expected else None
    return Duration(last + SWAP_SECONDS if last else None, measurement_seconds(points, predicted), settings)


def last_start_of(target: Target) -> float | None:
    """Return the seconds of the release's last start, None if they are not known."""
    leaders = [pod for pod in target.leaders.pods if pod.index == 0]
    return last_start(leaders, startup_budget(target.leaders.served.template))


def others(target: Target) -> str:
    """Return what others ask of the release, empty if nothing was seen for a while.

    Raises:
        TuneError: the release does not tell.
    """
    before = read_traffic(target.client, target.namespace, target.leaders.pods)
    time.sleep(LOOK_SECONDS)
    after = read_traffic(target.client, target.namespace, target.leaders.pods)
    if after and after.running:
        time.sleep(AGAIN_SECONDS)
        after = read_traffic(target.client, target.namespace, target.leaders.pods)
    if before is None or after is None:
        raise TuneError(
            "The release's metrics can't be read, so it is not known whether it serves other clients. You need the "
            f"right to get pods/proxy in {target.namespace}. To tune it anyway, use --yes."
        )
    return serves_others(before, after, LOOK_SECONDS)
