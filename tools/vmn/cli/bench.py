"""``vmn bench``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmn.cli.measuring import points_of, prediction_options, request_options
from vmn.cli.options import (
    FILE,
    FINDINGS,
    MISSING,
    NEW_FILE,
    Command,
    cluster_options,
    ends_with_status,
    note,
    output_option,
    progress,
)

if TYPE_CHECKING:
    from vmn.core.bench.results import Measured


@click.command(
    cls=Command,
    short_help="Measure a release's speed, and compare it with the prediction.",
    example="vmn bench vllm --namespace serving --preset chat --write report.json --plot report.svg",
    groups={
        "Requests": (
            *("preset", "prompt_tokens", "prefix_tokens", "answer_tokens", "concurrency", "rate", "requests"),
            *("repeats", "timeout"),
        ),
        "Prediction": ("gpu", "config", "network", "at_least"),
        "Cluster": ("namespace", "kubeconfig", "context"),
    },
)
@request_options(sweep=True, repeats=1, repeated="everything", limit="for all measurements")
@prediction_options
@click.option(
    "--at-least",
    type=click.FloatRange(0, min_open=True),
    metavar="SHARE",
    help="Exit with status 1 if a measurement is below this share of the predicted tokens per second.",
)
@click.option("-w", "--write", type=NEW_FILE, metavar="FILE.json", help="Write the report.")
@click.option(
    "--plot", type=NEW_FILE, metavar="FILE.svg", help="Plot tokens per second against time per token, as an SVG file."
)
@click.option(
    "--compare",
    nargs=2,
    type=FILE,
    metavar="A.json B.json",
    help="Compare two reports instead of measuring, and show only differences that exceed the noise.",
)
@cluster_options
@output_option
@ends_with_status
def bench(release: str, compare: tuple[Path, Path] | None, **options: Any) -> None:
    """Measure the speed of RELEASE (default: vllm), and compare it with the speed that `vmn plan` predicts.

    The command runs `vllm bench serve` in a Job with the image of the release. The Job sends random prompts through the
    Service, as clients do. It is removed at the end, even if you interrupt the command. A benchmark slows down any
    other requests to the release, and those requests distort the measurement.

    The exit status is 1 if a measurement is below the share of the prediction that you set with --at-least, or if
    --compare finds that report B is slower than report A.
    """
    if compare:
        _compare(*compare)
    _check(options)
    _measure(release, options)


def _check(options: dict[str, Any]) -> None:
    if options["plot"] and options["plot"].suffix.lower() != ".svg":
        raise click.BadParameter(f"{options['plot'].name} must end with .svg.", param_hint="--plot")


def _compare(one: Path, other: Path) -> None:
    import json

    from vmn.core.bench.compare import NotComparable, differences
    from vmn.report.bench import comparison

    try:
        found = differences(*(json.loads(file.read_text(encoding="utf-8")) for file in (one, other)))
    except (NotComparable, ValueError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(comparison(found))
    sys.exit(FINDINGS if any(each.is_worse for each in found) else 0)


def _measure(release: str, options: dict[str, Any]) -> None:
    from datetime import UTC, datetime

    from vmn.adapters.cluster import connect
    from vmn.adapters.leaders import read_leaders
    from vmn.app import bench as app
    from vmn.report.bench import as_json, text

    asked = points_of(options, options["concurrency"])
    client, default = connect(options["kubeconfig"], options["context"])
    leaders = read_leaders(client, options["namespace"] or default, release)
    expected = app.expectation(leaders, options["gpu"], options["config"], options["network"])
    without = expected if isinstance(expected, str) else ""
    if without and options["at_least"]:
        note(f"vmn: --at-least needs a prediction, but {without}.")
        sys.exit(MISSING)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        found = app.measure(client, leaders, asked, options["timeout"], progress)
    except app.BenchError as error:
        note(f"vmn: {error}")
        sys.exit(FINDINGS)
    measured = app.beside_prediction(asked, found, None if isinstance(expected, str) else expected)
    report = as_json(leaders.served, measured, without, began)
    click.echo(report if options["output"] == "json" else text(leaders.served, measured, without))
    if options["write"]:
        options["write"].write_text(report + "\n", encoding="utf-8")
        note(f"vmn: wrote {options['write']}")
    if options["plot"]:
        _draw(release, measured, options["plot"])
    sys.exit(_status(measured, options["at_least"]))


def _draw(release: str, measured: list[Measured], file: Path) -> None:
    from vmn.report.bench_plot import svg

    file.write_text(svg(f"{release}: tokens per second over time per token", measured), encoding="utf-8")
    note(f"vmn: wrote {file}")


def _status(measured: list[Measured], floor: float | None) -> int:
    from vmn.core.bench.results import slowest_share

    least = slowest_share(measured)
    if floor is None or least is None or least >= floor:
        return 0
    note(f"vmn: the slowest measurement has {least:.0%} of the predicted tokens per second, less than {floor:.0%}.")
    return FINDINGS
