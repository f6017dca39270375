"""``vmn validate``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vmn.cli.options import FILE, FINDINGS, chart_option, ends_with_status, output_option


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("--gpu", metavar="NAME", help="What the nodes have, to check memory.  [default: what the file asks for]")
@chart_option
@output_option
@ends_with_status
def validate(files: tuple[Path, ...], gpu: str | None, chart: Path | None, output: str) -> None:
    """Check values files: keys and types, then the chart's own rules, then the model's.

    Each FILE is checked by itself over the chart's defaults, and everything that is wrong with it is reported. The
    model's rules (what divides its heads and blocks, its longest context, its memory) need a model of the registry.
    """
    from vmn.adapters.files import default_chart
    from vmn.adapters.programs import require
    from vmn.adapters.validation import validate_file
    from vmn.core.planning.gpus import UnknownGpu, find_gpu
    from vmn.report import values_problems as report

    try:
        nodes_have = find_gpu(gpu) if gpu else None
    except UnknownGpu as error:
        raise click.BadParameter(str(error), param_hint="--gpu") from error
    require(["helm"])
    folder = chart or default_chart()
    found = [problem for file in files for problem in validate_file(folder, file, gpu=nodes_have)]
    click.echo(report.as_json(found) if output == "json" else report.text(found, len(files)))
    sys.exit(FINDINGS if found else 0)
