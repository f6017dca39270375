"""``vmn tune``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmn.cli.measuring import COUNT, points_of, prediction_options, request_options
from vmn.cli.options import (
    FINDINGS,
    NEW_FILE,
    Command,
    cluster_options,
    ends_with_status,
    note,
    output_option,
    progress,
)

if TYPE_CHECKING:
    from vmn.app.bench import Expectation
    from vmn.app.tune import Target, TuneRequest
    from vmn.core.bench.points import Point
    from vmn.core.tune.setting import TunedSetting
    from vmn.core.tune.trial import Trial, TuneResult

GOALS = ("throughput", "latency")
"""The goals of ``core.tune.candidates``, which help does not import."""


@click.command(
    cls=Command,
    short_help="Try other settings on a release, and report which to keep.",
    example="vmn tune vllm --prompt-tokens 2000 --answer-tokens 500 --concurrency 64 --write tuned.yaml",
    groups={
        "Requests": ("preset", "prompt_tokens", "answer_tokens", "concurrency", "requests", "repeats", "timeout"),
        "Settings": ("goal", "settings", "tries", "layouts", "gpu", "config", "network"),
        "Run": ("dry_run", "yes", "start_timeout", "chart"),
        "Cluster": ("namespace", "kubeconfig", "context"),
    },
)
@request_options(sweep=False, repeats=3, repeated="each setting", limit="to measure one setting")
@click.option(
    "--for",
    "goal",
    type=click.Choice(GOALS),
    default=GOALS[0],
    show_default=True,
    help="What to optimize: tokens per second, or the time that a whole answer takes.",
)
@click.option("--settings", type=COUNT, default=4, show_default=True, help="Maximum number of settings to try.")
@click.option(
    "--try",
    "tries",
    multiple=True,
    metavar='"FLAG=VALUE ..."',
    help="Try these vLLM flags as one setting, instead of those that are predicted to be best. You can repeat this "
    "option.",
)
@click.option(
    "--layouts",
    is_flag=True,
    help="Also try the best alternative layout on the same nodes, if it is predicted to be much faster.",
)
@prediction_options
@click.option(
    "--dry-run", is_flag=True, help="Print what would be tried and how long it would take, and change nothing."
)
@click.option("-y", "--yes", is_flag=True, help="Try the settings even if the release is serving other clients.")
@click.option(
    "--start-timeout",
    type=COUNT,
    help="Maximum time for each start of the release, in seconds.  [default: three times as long as the last start "
    "took, but at least 300]",
)
@click.option(
    "--chart",
    envvar="VMN_CHART",
    show_envvar=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of the release's chart.  [default: the chart that Helm stores with the release]",
)
@click.option(
    "-w",
    "--write",
    type=NEW_FILE,
    metavar="FILE",
    help="If there is a setting to keep, write it to this values file. To apply it, pass the file to helm upgrade "
    "after the release's own values files.",
)
@cluster_options
@output_option
@ends_with_status
def tune(release: str, **options: Any) -> None:
    """Try a few settings on RELEASE (default: vllm), measure each, and say which one to keep.

    A setting is one or more vLLM flags that are tried together. The command measures the release as it is. For each
    setting, it then runs `helm upgrade` with the release's chart and values plus the setting's flags, waits until the
    groups are ready, and measures as `vmn bench` does. After the last setting, or if you interrupt the command, it runs
    `helm rollback` to restore the original revision. Unless you interrupted it, it then measures that revision again.
    Without --layouts, it changes only flags that don't affect the layout.

    Each setting restarts the release. If the release is serving requests from other clients, the command stops before
    it changes anything, unless you use --yes.

    The exit status is 1 if the command refuses to start, if it ends early, if nothing could be measured, or if the
    release isn't serving again with its original values. It is 0 if the command completes, even if no
    setting is better.
    """
    from vmn.app.tune import TuneError

    with tempfile.TemporaryDirectory(prefix="vmn-tune-") as work:
        try:
            _tune(release, options, Path(work))
        except TuneError as error:
            note(f"vmn: {error}")
            sys.exit(FINDINGS)


def _tune(release: str, options: dict[str, Any], work: Path) -> None:
    from datetime import UTC, datetime

    from vmn.adapters.cluster import connect
    from vmn.adapters.leaders import read_leaders
    from vmn.app import tune as app
    from vmn.app.bench import expectation
    from vmn.app.tune_run import tune as run
    from vmn.report.tune import announcement, as_json, text

    asked = _asked(options["tries"])
    client, default = connect(options["kubeconfig"], options["context"])
    leaders = read_leaders(client, options["namespace"] or default, release)
    found = expectation(leaders, options["gpu"], options["config"], options["network"])
    target = app.find_target(client, leaders, _helm_options(options), options["chart"], work)
    request = app.TuneRequest(
        options["goal"], _points(options), options["timeout"], options["start_timeout"], options["yes"]
    )
    expected = None if isinstance(found, str) else found
    settings = _settings(asked, found, target, request, options["settings"])
    settings = [*_layouts(found, request, options["layouts"]), *settings]
    settings, refused = app.allowed(target, settings, progress)
    for trial in refused:
        note(f"vmn: {trial.setting.name} is not tried: {trial.why}")
    if not settings:
        note("vmn: there is nothing to try. Name a setting, such as --try max-num-seqs=64.")
        sys.exit(FINDINGS)
    now = expected.speed_of(request.points[0]) if expected else None
    words = announcement(target, request, settings, now, app.duration(target, request.points, expected, len(settings)))
    if options["dry_run"]:
        click.echo(words)
        return
    note(words)
    _refuse_if_it_serves_others(target, request)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    result = _with(run(target, request, settings, expected, progress), refused)
    report = as_json(target, request, result, began) if options["output"] == "json" else text(target, request, result)
    click.echo(report)
    _write(options["write"], target, request, result, began)
    sys.exit(FINDINGS if result.problem or not any(map(result.verdict, result.trials)) else 0)


def _asked(tries: tuple[str, ...]) -> list[TunedSetting]:
    """Return the settings that the user names."""
    from vmn.core.tune.setting import SettingError, setting_of

    try:
        return [setting_of(words) for words in tries]
    except SettingError as error:
        raise click.BadParameter(str(error), param_hint="--try") from error


def _points(options: dict[str, Any]) -> list[Point]:
    from vmn.core.bench.points import PRESETS as KINDS

    return points_of(options, (options["concurrency"] or max(KINDS[options["preset"]].concurrency),))


def _helm_options(options: dict[str, Any]) -> list[str]:
    given = {"--kubeconfig": options["kubeconfig"], "--kube-context": options["context"]}
    return [word for option, value in given.items() if value for word in (option, value)]


def _settings(
    asked: list[TunedSetting], found: Expectation | str, target: Target, request: TuneRequest, most: int
) -> list[TunedSetting]:
    """Return the settings that the user names, or else those that the plan ranks best."""
    from vmn.app.tune import TuneError, ranked_settings, with_predictions

    point = request.points[0]
    if not isinstance(found, str):
        if asked:
            return with_predictions(found, asked, point, request.goal)
        return ranked_settings(found, target, point, request.goal, most)
    if not asked:
        raise TuneError(f"The plan can't rank settings: {found}. Name them with --try, such as --try max-num-seqs=64.")
    return asked


def _layouts(found: Expectation | str, request: TuneRequest, wanted: bool) -> list[TunedSetting]:
    """Return another layout if the user wants to try one, and mention it otherwise."""
    from vmn.app.tune import better_layout

    better = None if isinstance(found, str) else better_layout(found, request.points[0], request.goal)
    if better and not wanted:
        times = 1 + (better.gain or 0.0)
        note(f"vmn: the plan predicts {times:.2f} times the speed with {better.name}. To try that, too, use --layouts.")
    return [better] if better and wanted else []


def _refuse_if_it_serves_others(target: Target, request: TuneRequest) -> None:
    from vmn.app.tune import TuneError, others

    if request.despite_others:
        return
    if seen := others(target):
        raise TuneError(
            f"Release {target.name} is serving other clients: {seen}. Each setting would interrupt them. "
            "To tune it anyway, use --yes."
        )


def _with(result: TuneResult, refused: list[Trial]) -> TuneResult:
    from dataclasses import replace

    return replace(result, trials=[*result.trials, *refused])


def _write(file: Path | None, target: Target, request: TuneRequest, result: TuneResult, began: str) -> None:
    from vmn.report.tune import values_file

    if not file:
        return
    if result.best is None:
        note(f"vmn: {file} is not written: no setting is better.")
        return
    file.write_text(values_file(target, request, result, result.best, began[:10]), encoding="utf-8")
    note(f"vmn: wrote {file}. Add it as the last values file of your next `helm upgrade`.")
