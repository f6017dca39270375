"""``vmn doctor``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from vmn.cli.options import FINDINGS, cluster_options, ends_with_status, note, output_option


@click.command()
@click.argument("release", default="vllm")
@cluster_options
@click.option(
    "--bundle",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write objects, events, logs and findings into this .tgz, without secrets.",
)
@output_option
@ends_with_status
def doctor(
    release: str,
    namespace: str | None,
    kubeconfig: str | None,
    context: str | None,
    bundle: Path | None,
    output: str,
) -> None:
    """Say why RELEASE (default: vllm) does not come up, or stopped serving.

    Reads its LeaderWorkerSet, pods, events, nodes and logs, and changes nothing. Says for each group which pod failed
    first, why, what only waits for it, and what to do. The exit status is 1 when something is wrong; a release that is
    starting, and shows nothing wrong, is no finding.
    """
    from vmn.adapters.cluster import connect
    from vmn.adapters.doctor import take
    from vmn.adapters.signatures import load_signatures
    from vmn.core.doctor.diagnose import diagnose
    from vmn.report.doctor import as_json, text

    client, active = connect(kubeconfig, context)
    where = namespace or active
    note(f"vmn: reading release {release} of namespace {where} on {client.configuration.host}")
    seen = take(client, where, release)
    found = diagnose(seen, load_signatures())
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    click.echo(as_json(found) if output == "json" else text(found, colour=colour))
    if bundle:
        from vmn.adapters.support_bundle import write_bundle

        write_bundle(bundle, seen, {"findings.txt": text(found), "findings.json": as_json(found)})
        note(f"vmn: wrote {bundle}; secrets are taken out, but read it before you give it away")
    sys.exit(FINDINGS if found.failed else 0)
