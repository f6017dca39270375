"""``python -m publishing``: check, build, and push a release."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from publishing import release
from publishing.chart import NAME, SigningKey
from publishing.registry import Registry, push, sign

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Check, build, and push a release of the chart and of vmn."""


@main.command()
@click.option("--tag", help="Tag of the release, such as v1.2.3; with it, the changelog must have a date.")
def check(tag: str | None) -> None:
    """Say what keeps this tree from being released."""
    found = release.problems(tag)
    for problem in found:
        click.echo(problem, err=True)
    sys.exit(1 if found else 0)


@main.command()
@click.option("--out", type=DIRECTORY, required=True, help="New directory for the files.")
@click.option("--key", help="Part of the name of the OpenPGP key that signs the chart's archive.")
@click.option("--keyring", type=FILE, help="File with that key.")
def build(out: Path, key: str | None, keyring: Path | None) -> None:
    """Write the chart, the Python packages, bills of materials, notes, and checksums."""
    if (key is None) != (keyring is None):
        raise click.UsageError("Give --key and --keyring together, or neither.")
    for file in release.build(out, SigningKey(key, keyring) if key and keyring else None):
        click.echo(file)


@main.command()
@click.argument("directory", type=DIRECTORY)
@click.option("--to", "address", required=True, help="Host and path of the registry, such as ghcr.io/example/charts.")
@click.option("--plain-http", is_flag=True, help="The registry has no TLS.")
@click.option("--cosign-key", type=FILE, help="Private key of cosign.  [default: the identity of the workflow]")
def upload(directory: Path, address: str, plain_http: bool, cosign_key: Path | None) -> None:
    """Push the chart of a DIRECTORY that `build` wrote to an OCI registry, sign it, and print its reference."""
    (archive,) = directory.glob(f"{NAME}-*.tgz")
    registry = Registry(address, plain_http)
    try:
        pushed = push(archive, registry)
        sign(pushed, registry, cosign_key, archive.with_suffix(".cdx.json"))
    except subprocess.CalledProcessError as error:
        raise click.ClickException(f"{' '.join(map(str, error.cmd[:2]))}: {error.output}") from error
    click.echo(pushed.pinned)


if __name__ == "__main__":
    main(prog_name="python -m publishing")
