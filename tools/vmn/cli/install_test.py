"""``vmn install-test``."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmn.cli.options import FILE, FINDINGS, chart_option, ends_with_status, note, output_option

if TYPE_CHECKING:
    from vmn.core.install_test import Item, Settings, Step


@click.command("install-test")
@chart_option
@click.option("--values", "overlays", multiple=True, type=FILE, help="An overlay.  [default: all of values/]")
@click.option(
    "--extra-values",
    multiple=True,
    type=FILE,
    help="Values on top of every installation, such as the tolerations of simulated nodes.",
)
@click.option("--upgrade", is_flag=True, help="Upgrade each release from the previous chart, too.")
@click.option(
    "--previous",
    type=click.Path(exists=True, path_type=Path),
    help="The previous chart: its folder or its archive.  [default: the one that the checkout keeps]",
)
@click.option("-n", "--namespace", help="Use this namespace, which is there.  [default: a new one, removed at the end]")
@click.option("--wait", type=click.IntRange(min=10), default=180, show_default=True, help="Seconds for a release.")
@click.option("--dry-run", is_flag=True, help="Print the commands and run none.")
@output_option
@ends_with_status
def install_test(
    chart: Path | None,
    overlays: tuple[Path, ...],
    extra_values: tuple[Path, ...],
    upgrade: bool,
    previous: Path | None,
    namespace: str | None,
    wait: int,
    dry_run: bool,
    output: str,
) -> None:
    """Install the chart on the cluster of KUBECONFIG, with its ci values and with every overlay.

    The ci values go through chart-testing (lint and install); each overlay is linted, installed, checked for ready
    groups, uninstalled and checked for leftovers. With --upgrade, chart-testing upgrades from the chart of its target
    branch, where git has that, and the previous chart is installed with each file and upgraded to this one.
    """
    from vmn.adapters.files import default_chart, overlays_of
    from vmn.core.install_test import Settings, items, last
    from vmn.report import install_test as report

    folder = chart or default_chart()
    config = folder.resolve().parent.parent / "ct.yaml"
    settings = Settings(
        chart=folder,
        overlays=overlays or overlays_of(folder),
        extra_values=[file.resolve() for file in extra_values],  # ct may run in another folder
        namespace=namespace or "vmn-install-test",
        own_namespace=namespace is None,
        config=config if config.is_file() else None,
        wait=wait,
    )
    if previous and not upgrade:
        raise click.UsageError("--previous is the chart from which --upgrade starts: give both.")
    with tempfile.TemporaryDirectory(prefix="vmn-previous-") as work:
        planned = items(_with_previous(settings, previous, Path(work)) if upgrade else settings)
        if dry_run:
            click.echo(report.commands(planned, last(settings)))
            return
        _run(planned, last(settings), output)


def _run(planned: list[Item], at_the_end: list[Step], output: str) -> None:
    from vmn.adapters import installtest as runner
    from vmn.adapters.programs import require
    from vmn.report import install_test as report

    require(["helm", "kubectl", "ct", "yamllint", "yamale"])
    runner.check_cluster()
    results = runner.run_items(planned, at_the_end, note)
    click.echo(report.as_json(results) if output == "json" else report.text(results))
    sys.exit(FINDINGS if any(result.problem for result in results) else 0)


def _with_previous(settings: Settings, given: Path | None, work: Path) -> Settings:
    """Return settings with a chart from which to upgrade; say why chart-testing has none.

    Raises:
        MissingError: none is given, and the checkout keeps none.
    """
    from vmn.adapters.previous_chart import IN_CHECKOUT, unpacked, upgrades, why_not_from_git
    from vmn.adapters.programs import MissingError

    root = settings.chart.resolve().parent.parent
    why = why_not_from_git(root, settings.config) if settings.config else f"{root} has no ct.yaml"
    if why:
        note(f"ct install runs without --upgrade: {why}. The ci values are upgraded from the previous chart below.")
    source = given or root / IN_CHECKOUT
    if not source.exists():
        raise MissingError(f"There is no previous chart: {source} is not there. Name one with --previous.")
    note(f"The previous chart is {source}.")
    chart = source if source.is_dir() else unpacked(source, work)
    pairs = upgrades(settings.chart, chart, settings.overlays)
    return replace(settings, previous=chart, upgrades=pairs, git_root=None if why else root)
