"""``vmn install-test``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vmn.cli.options import FILE, FINDINGS, chart_option, ends_with_status, note, output_option


@click.command("install-test")
@chart_option
@click.option("--values", "overlays", multiple=True, type=FILE, help="An overlay.  [default: all of values/]")
@click.option(
    "--extra-values",
    multiple=True,
    type=FILE,
    help="Values on top of every installation, such as the tolerations of simulated nodes.",
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
    namespace: str | None,
    wait: int,
    dry_run: bool,
    output: str,
) -> None:
    """Install the chart on the cluster of KUBECONFIG, with its ci values and with every overlay.

    The ci values go through chart-testing (lint and install); each overlay is linted, installed, checked for ready
    groups, uninstalled and checked for leftovers.
    """
    from vmn.adapters import installtest as runner
    from vmn.adapters.files import default_chart, overlays_of
    from vmn.adapters.programs import require
    from vmn.core.installtest import Settings, items
    from vmn.report import installtest as report

    folder = chart or default_chart()
    config = folder.resolve().parent.parent / "ct.yaml"
    settings = Settings(
        chart=folder,
        overlays=overlays or overlays_of(folder),
        extra_values=extra_values,
        namespace=namespace or "vmn-install-test",
        own_namespace=namespace is None,
        config=config if config.is_file() else None,
        wait=wait,
    )
    planned = items(settings)
    if dry_run:
        click.echo(report.commands(planned))
        return
    require(["helm", "kubectl", "ct", "yamllint", "yamale"])
    runner.check_cluster()
    results = runner.run_items(planned, note)
    click.echo(report.as_json(results) if output == "json" else report.text(results))
    sys.exit(FINDINGS if any(result.problem for result in results) else 0)
