"""``vmn doctor``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vmn.cli.options import FINDINGS, Command, cluster_options, ends_with_status, note, output_option, use_color


@click.command(
    cls=Command,
    short_help="Explain why a release doesn't start or serve requests.",
    example="vmn doctor vllm --namespace serving --support-bundle vllm.tgz",
)
@click.argument("release", default="vllm")
@cluster_options
@click.option(
    "--support-bundle",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Also write a .tgz archive with objects, events, logs, and findings. Review it before you share it.",
)
@output_option
@ends_with_status
def doctor(
    release: str,
    namespace: str | None,
    kubeconfig: str | None,
    context: str | None,
    support_bundle: Path | None,
    output: str,
) -> None:
    """Explain why RELEASE (default: vllm) doesn't start or serve requests.

    The command reads the LeaderWorkerSet, pods, events, nodes, and logs, and changes nothing. For each group, it
    reports which pod failed first and why, which pods are only waiting for it, and what to do. The exit status is 1 if
    something is wrong, and 0 if the release serves requests or is still starting normally.
    """
    from vmn.adapters.cluster import connect
    from vmn.app.doctor import diagnose, read_release
    from vmn.report.doctor import as_json, text

    client, default_namespace = connect(kubeconfig, context)
    where = namespace or default_namespace
    note(f"vmn: reading release {release} in namespace {where} on {client.configuration.host}")
    found = read_release(client, where, release)
    diagnosis = diagnose(found)
    click.echo(as_json(diagnosis) if output == "json" else text(diagnosis, color=use_color()))
    if support_bundle:
        from vmn.adapters.support_bundle import write_bundle

        write_bundle(support_bundle, found, {"findings.txt": text(diagnosis), "findings.json": as_json(diagnosis)})
        note(f"vmn: wrote {support_bundle}. Secrets are removed, but read it before you share it.")
    sys.exit(FINDINGS if diagnosis.failed else 0)
