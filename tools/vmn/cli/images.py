"""``vmn images``."""

from __future__ import annotations

from pathlib import Path

import click

from vmn.cli.options import Command, chart_option, ends_with_status, output_option, refuses_values, values_option


@click.command(
    cls=Command,
    short_help="List the images and models to mirror for a release.",
    example="vmn images -f values/deepseek-r1.yaml",
)
@values_option
@chart_option
@output_option
@ends_with_status
def images(files: tuple[Path, ...], chart: Path | None, output: str) -> None:
    """List the images and models that a release pulls or downloads, one per line, so that you can mirror them.

    The line for an image contains its reference and, if global.imageRegistry is set, a space and its reference in that
    registry. The line for a model starts with hf:// and includes the revision.
    """
    from vmn.adapters.files import default_chart
    from vmn.adapters.helm import RenderError
    from vmn.adapters.programs import require
    from vmn.app import images as app
    from vmn.report.images import as_json, text

    require(["helm"])
    try:
        found = app.images(chart or default_chart(), files)
    except RenderError as error:
        refuses_values(error)
    click.echo(as_json(found) if output == "json" else text(found))
