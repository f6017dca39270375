"""``vmn images``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vmn.cli.options import FILE, FINDINGS, chart_option, ends_with_status, note, output_option

RELEASE = ("vllm", "default")
"""A name and a namespace: neither is in what is printed."""
OWN_REGISTRIES = ("--set", "global.imageRegistry=null")


@click.command()
@click.option(
    "-f", "--values", "files", multiple=True, type=FILE, help="A values file, as for helm; the last one wins."
)
@chart_option
@output_option
@ends_with_status
def images(files: tuple[Path, ...], chart: Path | None, output: str) -> None:
    """Print what a release takes from elsewhere, to mirror it: one thing a line.

    An image's line is its reference and, with global.imageRegistry, a blank and where the release will look for it. A
    line that begins with hf:// is a model that pods download, with its revision.
    """
    from vmn.adapters.files import default_chart
    from vmn.adapters.helm import RenderError, manifests
    from vmn.adapters.programs import require
    from vmn.core.cluster.rendered import RenderedRelease
    from vmn.core.images import needed
    from vmn.report.images import as_json, text

    require(["helm"])
    folder = chart or default_chart()
    try:
        rendered, own = (
            RenderedRelease(*RELEASE, manifests(folder, files, *RELEASE, options=options))
            for options in ((), OWN_REGISTRIES)
        )
    except RenderError as error:
        note(f"vmn: the chart refuses the values; `vmn validate` says more.\n{error}")
        sys.exit(FINDINGS)
    found = needed(rendered, own)
    click.echo(as_json(found) if output == "json" else text(found))
