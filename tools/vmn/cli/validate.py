"""``vmn validate``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vmn.cli.options import FILE, FINDINGS, Command, chart_option, ends_with_status, output_option


@click.command(
    cls=Command,
    short_help="Check values files before you install or upgrade.",
    example="vmn validate -f values/deepseek-r1.yaml -f my-values.yaml",
)
@click.argument("files", nargs=-1, type=FILE, metavar="[FILE]...")
@click.option(
    "-f",
    "--values",
    "combined",
    multiple=True,
    type=FILE,
    help="Values file, as in helm. You can repeat this option; later files override earlier ones.",
)
@click.option(
    "--gpu",
    metavar="NAME",
    help="Check whether the model fits on this type of GPU.  [default: the GPU that the values select]",
)
@chart_option
@output_option
@ends_with_status
def validate(
    files: tuple[Path, ...], combined: tuple[Path, ...], gpu: str | None, chart: Path | None, output: str
) -> None:
    """Check values files: keys and types, the chart's rules, vLLM's settings, and the model's limits.

    Files given with -f are merged over the chart's defaults and checked together, as Helm would install them. Each FILE
    given without -f is checked on its own. The command reports all problems at once, except values that exceed the
    model's limits, which it checks only if it finds no other problems.

    vLLM's settings are its flags and environment variables. The command checks them only if it knows the version of
    vLLM in the image. It checks the model's limits (attention heads, quantization blocks, context length, and memory)
    only for built-in models.
    """
    from vmn.adapters.files import default_chart
    from vmn.adapters.programs import require
    from vmn.app.planner import PlanError, known_gpu
    from vmn.app.validation import values_problems
    from vmn.report import values_problems as report

    if not files and not combined:
        raise click.UsageError("Give a values file, such as `vmn validate -f my-values.yaml`.")
    try:
        node_gpu = known_gpu(gpu) if gpu else None
    except PlanError as error:
        raise click.BadParameter(str(error), param_hint="--gpu") from error
    require(["helm"])
    folder = chart or default_chart()
    together = [[file] for file in files] + ([list(combined)] if combined else [])
    found = [problem for some in together for problem in values_problems(folder, *some, gpu=node_gpu)]
    click.echo(report.as_json(found) if output == "json" else report.text(found, len(files) + len(combined)))
    sys.exit(FINDINGS if found else 0)
