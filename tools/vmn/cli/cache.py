"""``vmn cache``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from vmn.cli.options import FINDINGS, NEW_FILE, Command, cluster_options, ends_with_status, note, output_option


@click.group(short_help="Pack compiled kernels and graphs for new nodes.")
def cache() -> None:
    """Pack the compiled kernels and graphs of a running group, so that new nodes don't have to compile them."""


@cache.command(
    cls=Command,
    short_help="Pack the caches of a ready group.",
    example="vmn cache pack vllm --write caches.tar.gz",
)
@click.argument("release", default="vllm")
@cluster_options
@click.option(
    "-w",
    "--write",
    "file",
    type=NEW_FILE,
    metavar="FILE",
    help="File to write.  [default: named after the image tag and the model, with .tar.gz or .oci.tar]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["archive", "oci"]),
    default="archive",
    show_default=True,
    help="Format of the file: a .tar.gz archive to unpack on a volume, or an OCI image to push to a registry.",
)
@output_option
@ends_with_status
def pack(
    release: str,
    namespace: str | None,
    kubeconfig: str | None,
    context: str | None,
    file: Path | None,
    form: str,
    output: str,
) -> None:
    """Pack the caches of one group of RELEASE (default: vllm) into a cache bundle.

    The group must be ready, but doesn't need to be handling requests. The cache bundle contains the compiled kernels
    and graphs from all pods of the group, without duplicates, and nothing else. To fill the caches of new pods from it,
    set cache.bundle in the values.
    """
    from vmn.adapters.cache_bundle import NotPackedError
    from vmn.adapters.cluster import connect
    from vmn.app.cache_bundle import pack as write
    from vmn.app.cache_bundle import serving_group
    from vmn.core.cache_bundle import LARGE

    client, default_namespace = connect(kubeconfig, context)
    where = namespace or default_namespace
    options = {"--kubeconfig": kubeconfig, "--context": context, "--namespace": where}
    kubectl = ["kubectl", *(f"{name}={value}" for name, value in options.items() if value)]
    try:
        group = serving_group(client, where, release)
        file, origin, shares = write(kubectl, group, file, form == "oci", note)
    except NotPackedError as error:
        note(f"vmn: {error}")
        sys.exit(FINDINGS)
    for share in shares:
        if share.size > LARGE:
            note(
                f"vmn: {share.pod} has more than {LARGE / 1e6:.0f} MB, so its caches hold more than this model's start"
            )
    size = file.stat().st_size
    if output == "json":
        pods = [vars(share) for share in shares]
        click.echo(json.dumps({"file": str(file), "bytes": size, **vars(origin), "pods": pods}, indent=2))
    else:
        click.echo(f"{file}: {size / 1e6:.1f} MB, caches of {origin.key} on GPU {origin.gpu}")
