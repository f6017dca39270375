"""``vmn preflight``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from vmn.cli.options import FILE, FINDINGS, chart_option, cluster_options, ends_with_status, note, output_option


@click.command()
@click.option(
    "-f", "--values", "files", multiple=True, type=FILE, help="A values file, as for helm; the last one wins."
)
@click.option("--release", default="vllm", show_default=True, help="Name of the release.")
@cluster_options
@click.option("--all", "everything", is_flag=True, help="Also what the release does not need.")
@chart_option
@output_option
@ends_with_status
def preflight(
    files: tuple[Path, ...],
    release: str,
    namespace: str | None,
    kubeconfig: str | None,
    context: str | None,
    everything: bool,
    chart: Path | None,
    output: str,
) -> None:
    """Say what on the cluster keeps a release from starting, before it is installed.

    Reads the cluster and changes nothing: nodes, GPUs, LeaderWorkerSet, quota, admission, Secrets, claims. The exit
    status is 1 when a check fails. What may not be read is a warning that names the RBAC rule.
    """
    from vmn.adapters.cluster import connect
    from vmn.adapters.files import default_chart
    from vmn.adapters.helm import RenderError, manifests
    from vmn.adapters.preflight import take
    from vmn.adapters.programs import require
    from vmn.core.preflight.checks import findings
    from vmn.core.preflight.demand import Demand
    from vmn.core.preflight.finding import Status
    from vmn.report.preflight import as_json, text

    require(["helm"])
    client, active = connect(kubeconfig, context)
    where = namespace or active
    try:
        objects = manifests(chart or default_chart(), files, release, where)
    except RenderError as error:
        note(f"vmn: the chart refuses the values; `vmn validate` says more.\n{error}")
        sys.exit(FINDINGS)
    note(f"vmn: reading the cluster {client.configuration.host}")
    demand = Demand(release, where, objects)
    found = list(findings(demand, take(client, demand)))
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    click.echo(as_json(found) if output == "json" else text(found, everything=everything, colour=colour))
    sys.exit(FINDINGS if any(item.status is Status.FAIL for item in found) else 0)
