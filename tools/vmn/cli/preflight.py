"""``vmn preflight``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vmn.cli.options import (
    FINDINGS,
    Command,
    chart_option,
    cluster_options,
    ends_with_status,
    note,
    output_option,
    progress,
    refuses_values,
    use_color,
    values_option,
)


@click.command(
    cls=Command,
    short_help="Check for anything that would keep a release from starting.",
    example="vmn preflight -f values/deepseek-r1.yaml --namespace serving",
    groups={"Options": (), "Probes": ("active", "active_timeout", "bandwidth", "bandwidth_floor", "dry_run")},
)
@values_option
@click.option("--release", default="vllm", show_default=True, help="Name of the release.")
@cluster_options
@click.option("--all", "everything", is_flag=True, help="Also show skipped checks.")
@click.option(
    "--active", is_flag=True, help="Also test the nodes from inside, with one short-lived pod per node of a group."
)
@click.option(
    "--active-timeout",
    type=click.IntRange(min=30),
    default=300,
    show_default=True,
    help="Maximum time, in seconds, for these pods, including the time to pull the image.",
)
@click.option(
    "--bandwidth",
    is_flag=True,
    help="With --active: also measure the bandwidth between all GPUs of a group, and name any node that is slow.",
)
@click.option(
    "--bandwidth-floor",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GB/s",
    help="With --bandwidth: lowest bus bandwidth that passes the check. By default, it depends on fabric.profile.",
)
@click.option("--dry-run", is_flag=True, help="With --active: print the objects as YAML without creating them.")
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
    bandwidth: bool,
    bandwidth_floor: float | None,
    dry_run: bool,
    chart: Path | None,
    output: str,
) -> None:
    """Check the cluster for anything that would keep a release from starting.

    Run this command before you install the release.

    The command checks nodes, GPUs, LeaderWorkerSet, quotas, admission control, Secrets, and PersistentVolumeClaims.
    Without --active, it changes nothing. The exit status is 1 if a check fails. If you are not allowed to read
    something, the command prints a warning with the RBAC rule to add.

    With --active, the command also runs short-lived pods, configured like those of the release, on as many nodes as a
    group has. They check name resolution, connections, the network interface, RDMA, shared memory, GPUs, caches, and
    weights. When the command ends, it deletes everything that it created, even if you interrupt it.

    With --bandwidth, the pods also measure the speed of an all-reduce over all GPUs of the group, and of transfers
    between neighboring nodes, using PyTorch and NCCL from the release's own image. They report which network NCCL uses,
    and the state of each GPU: ECC and XID errors, throttled clocks, and its PCIe link.
    """
    from vmn.adapters.cluster import connect
    from vmn.adapters.files import default_chart
    from vmn.adapters.helm import RenderError
    from vmn.adapters.programs import require
    from vmn.app import preflight as app
    from vmn.core.preflight.result import is_failure
    from vmn.report.preflight import as_json, text

    if dry_run and not active:
        raise click.UsageError("--dry-run needs --active; without it nothing is created.")
    if bandwidth and not active:
        raise click.UsageError("--bandwidth needs --active, which runs the pods that measure.")
    if bandwidth_floor and not bandwidth:
        raise click.UsageError("--bandwidth-floor needs --bandwidth.")
    require(["helm"])
    client, default_namespace = connect(kubeconfig, context)
    try:
        where = (chart or default_chart(), files, release, namespace or default_namespace)
        rendered = app.render(*where)
        measured = app.render_with_bandwidth(*where, bandwidth_floor) if bandwidth else None
    except RenderError as error:
        refuses_values(error)
    expected = app.expect(rendered, measured)
    if dry_run:
        import yaml

        objects = app.prepare_probe(rendered, expected, active_timeout).objects
        click.echo(yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True), nl=False)
        return
    note(f"vmn: reading the cluster {client.configuration.host}")
    snapshot = app.read_cluster(client, rendered)
    found = app.check(rendered, snapshot)
    if active:
        found += app.probe(client, rendered, snapshot, expected, active_timeout, progress)
    click.echo(as_json(found) if output == "json" else text(found, everything=everything, color=use_color()))
    sys.exit(FINDINGS if any(map(is_failure, found)) else 0)
