"""``vmn preflight``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from secrets import choice
from typing import TYPE_CHECKING

import click

from vmn.cli.options import FILE, FINDINGS, chart_option, cluster_options, ends_with_status, note, output_option

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from vmn.core.cluster.rendered import RenderedRelease
    from vmn.core.cluster.snapshot import Snapshot
    from vmn.core.preflight.probe.expectations import Expectations
    from vmn.core.preflight.probe.job import ProbeRun
    from vmn.core.preflight.result import CheckResult

SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""What names of a run end with: as in Kubernetes' own, no word can come of it."""


@click.command()
@click.option(
    "-f", "--values", "files", multiple=True, type=FILE, help="A values file, as for helm; the last one wins."
)
@click.option("--release", default="vllm", show_default=True, help="Name of the release.")
@cluster_options
@click.option("--all", "everything", is_flag=True, help="Also what the release does not need.")
@click.option("--active", is_flag=True, help="Also run one short pod per node of a group, and remove them.")
@click.option(
    "--active-timeout",
    type=click.IntRange(min=30),
    default=300,
    show_default=True,
    help="Seconds for these pods, with the time to pull the image.",
)
@click.option("--dry-run", is_flag=True, help="With --active: print what it would make as YAML, and do nothing.")
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
    active: bool,
    active_timeout: int,
    dry_run: bool,
    chart: Path | None,
    output: str,
) -> None:
    """Say what on the cluster keeps a release from starting, before it is installed.

    Reads the cluster and changes nothing: nodes, GPUs, LeaderWorkerSet, quota, admission, Secrets, claims. The exit
    status is 1 when a check fails. What may not be read is a warning that names the RBAC rule.

    With --active, pods like the release's run for a moment on the nodes of one group: names, connections, interface,
    RDMA, shared memory, GPUs, cache, weights. All that they need is removed at the end, also after an interrupt.
    """
    from vmn.adapters.cluster import connect
    from vmn.adapters.preflight import take
    from vmn.adapters.programs import require
    from vmn.core.preflight.checks import findings
    from vmn.core.preflight.result import CheckStatus
    from vmn.report.preflight import as_json, text

    if dry_run and not active:
        raise click.UsageError("--dry-run is for --active: without it nothing is made.")
    require(["helm"])
    client, current = connect(kubeconfig, context)
    demand = _demand(chart, files, release, namespace or current)
    if dry_run:
        click.echo(_active_manifests(demand, active_timeout), nl=False)
        return
    note(f"vmn: reading the cluster {client.configuration.host}")
    snapshot = take(client, demand)
    found = list(findings(demand, snapshot))
    if active:
        found += _run_actively(client, demand, snapshot, active_timeout)
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    click.echo(as_json(found) if output == "json" else text(found, everything=everything, colour=colour))
    sys.exit(FINDINGS if any(item.status is CheckStatus.FAIL for item in found) else 0)


def _demand(chart: Path | None, files: tuple[Path, ...], release: str, namespace: str) -> RenderedRelease:
    from vmn.adapters.files import default_chart
    from vmn.adapters.helm import RenderError, manifests
    from vmn.core.cluster.rendered import RenderedRelease

    try:
        return RenderedRelease(release, namespace, manifests(chart or default_chart(), files, release, namespace))
    except RenderError as error:
        note(f"vmn: the chart refuses the values; `vmn validate` says more.\n{error}")
        sys.exit(FINDINGS)


def _plan(demand: RenderedRelease, seconds: int) -> tuple[ProbeRun, Expectations]:
    from vmn.adapters.probe_job import program
    from vmn.core.preflight.probe.expectations import expectations_of
    from vmn.core.preflight.probe.job import plan

    asked = expectations_of(demand)
    return plan(demand, asked, program(), "".join(choice(SUFFIX) for _ in range(6)), seconds), asked


def _active_manifests(demand: RenderedRelease, seconds: int) -> str:
    import yaml

    run, _ = _plan(demand, seconds)
    return yaml.safe_dump_all(run.objects, sort_keys=False, explicit_start=True)


def _run_actively(client: ApiClient, demand: RenderedRelease, snapshot: Snapshot, seconds: int) -> list[CheckResult]:
    from vmn.adapters.probe_job import check
    from vmn.core.preflight.nodes import in_the_way

    if barred := in_the_way(demand, snapshot):
        return [barred]
    run, asked = _plan(demand, seconds)
    note(f"vmn: running {run.nodes} pod(s) as Job {run.name} in {run.namespace}, for at most {seconds} s")
    return check(client, run, asked, seconds, lambda line: note(f"vmn: {line}"))
