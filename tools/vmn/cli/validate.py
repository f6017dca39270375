"""``vmn validate``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vmn.cli.options import FILE, FINDINGS, chart_option, ends_with_status, output_option


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@chart_option
@output_option
@ends_with_status
def validate(files: tuple[Path, ...], chart: Path | None, output: str) -> None:
    """Check values files: keys and types, then the chart's own rules.

    Each FILE is checked by itself over the chart's defaults, and everything that is wrong with it is reported.
    """
    from vmn.adapters.files import default_chart
    from vmn.adapters.programs import require
    from vmn.adapters.validation import validate_file
    from vmn.report import problems as report

    require(["helm"])
    folder = chart or default_chart()
    found = [problem for file in files for problem in validate_file(folder, file)]
    click.echo(report.as_json(found) if output == "json" else report.text(found, len(files)))
    sys.exit(FINDINGS if found else 0)
