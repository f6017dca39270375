"""``vmn install-test``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmn.cli.options import FILE, FINDINGS, Command, chart_option, ends_with_status, note, output_option

if TYPE_CHECKING:
    from vmn.core.install_test import Item, Step


@click.command(
    "install-test",
    cls=Command,
    short_help="Install the chart with every preset on a test cluster.",
    example="vmn install-test -f values/tiny-cpu.yaml --dry-run",
)
@chart_option
@click.option(
    "-f",
    "--values",
    "values_files",
    multiple=True,
    type=FILE,
    help="Values file to install the chart with. You can repeat this option.  [default: all presets in values/]",
)
@click.option(
    "--extra-values",
    multiple=True,
    type=FILE,
    help="Values file to add to every installation, such as one with tolerations. You can repeat this option.",
)
@click.option("--upgrade", is_flag=True, help="Also test upgrades from the previous version of the chart.")
@click.option(
    "--previous",
    type=click.Path(exists=True, path_type=Path),
    help="Directory or archive of the previous version of the chart.  [default: the archive in the repository]",
)
@click.option("-n", "--namespace", help="Existing namespace to use.  [default: a new one, which is deleted at the end]")
@click.option(
    "--wait",
    type=click.IntRange(min=10),
    default=180,
    show_default=True,
    help="Maximum time, in seconds, to wait for a release to become ready. The same limit applies to its removal.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="Number of releases to install at the same time. The cluster needs enough nodes for all of them.",
)
@click.option("--dry-run", is_flag=True, help="Print the commands without running them.")
@output_option
@ends_with_status
def install_test(
    chart: Path | None,
    values_files: tuple[Path, ...],
    extra_values: tuple[Path, ...],
    upgrade: bool,
    previous: Path | None,
    namespace: str | None,
    wait: int,
    jobs: int,
    dry_run: bool,
    output: str,
) -> None:
    """Install the chart on a test cluster, with each of its ci values files and each preset.

    The command uses the cluster that KUBECONFIG points to. It runs chart-testing (ct) to lint the chart and to install
    it with the values files in the chart's ci directory. Then, for each preset (or each file given with -f), it lints
    and installs the chart, waits until the groups are ready, uninstalls the release, and checks for leftover objects.

    On simulated nodes, groups are ready in seconds. On GPU nodes, use -f to choose presets that fit, and raise --wait.

    With --upgrade, the command also installs the previous version of the chart with that version's ci values and
    presets, and upgrades each release to the current version. In addition, ct tests upgrades from the chart on the
    target branch that ct.yaml names, if that branch exists in the git repository.
    """
    from vmn.adapters.files import default_chart, presets_of
    from vmn.app.install_test import with_previous_chart
    from vmn.core.install_test import Settings, items, last
    from vmn.report import install_test as report

    folder = chart or default_chart()
    config = folder.resolve().parent.parent / "ct.yaml"
    settings = Settings(
        chart=folder,
        values_files=values_files or presets_of(folder),
        extra_values=[file.resolve() for file in extra_values],  # ct may run in another directory
        namespace=namespace or "vmn-install-test",
        own_namespace=namespace is None,
        config=config if config.is_file() else None,
        wait=wait,
    )
    if previous and not upgrade:
        raise click.UsageError("--previous names the chart that --upgrade starts from. Give both.")
    with tempfile.TemporaryDirectory(prefix="vmn-previous-") as work:
        planned = items(with_previous_chart(settings, previous, Path(work), note) if upgrade else settings)
        if dry_run:
            click.echo(report.commands(planned, last(settings)))
            return
        _run(planned, last(settings), jobs, output)


def _run(planned: list[Item], at_the_end: list[Step], jobs: int, output: str) -> None:
    from vmn.adapters.programs import require
    from vmn.app.install_test import check_cluster, run_items
    from vmn.report import install_test as report

    require(["helm", "kubectl", "ct", "yamllint", "yamale"])
    check_cluster()
    results = run_items(planned, at_the_end, note, jobs)
    click.echo(report.as_json(results) if output == "json" else report.text(results))
    sys.exit(FINDINGS if any(result.problem for result in results) else 0)
