"""The chart in an OCI registry, signed with cosign."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from publishing.chart import NAME

LIMIT = 300
"""Seconds for one program."""


@dataclass(frozen=True)
class Registry:
    """Where charts are pushed to.

    Attributes:
        address: host and path, such as ``ghcr.io/example/charts``.
        plain_http: whether the registry has no TLS, such as one on this machine.
    """

    address: str
    plain_http: bool = False


@dataclass(frozen=True)
class Pushed:
    """A chart in a registry.

    Attributes:
        reference: host, path, and name of the chart.
        digest: of its manifest, with ``sha256:``.
    """

    reference: str
    digest: str

    @property
    def pinned(self) -> str:
        """The reference that always means the same bytes."""
        return f"{self.reference}@{self.digest}"


def push(archive: Path, registry: Registry) -> Pushed:
    """Push a chart's archive, and its ``.prov`` if that is beside it.

    Raises:
        subprocess.CalledProcessError: Helm fails.
        ValueError: Helm does not say which digest the chart got.
    """
    options = ["--plain-http"] if registry.plain_http else []
    said = _run(["helm", "push", str(archive), f"oci://{registry.address}", *options])
    digest = re.search(r"^Digest: (sha256:[0-9a-f]{64})$", said, re.MULTILINE)
    if not digest:
        raise ValueError(f"helm push says no digest: {said}")
    return Pushed(f"{registry.address}/{NAME}", digest[1])


def sign(chart: Pushed, registry: Registry, key: Path | None = None, bill: Path | None = None) -> None:
    """Sign a chart in its registry: with a key of cosign, or without one by the identity of the workflow.

    Args:
        chart: the chart.
        registry: its registry.
        key: file of cosign's private key; COSIGN_PASSWORD has its password. No transparency log is used then.
        bill: a bill of materials to attest.

    Raises:
        subprocess.CalledProcessError: cosign fails.
    """
    insecure = ["--allow-http-registry", "--allow-insecure-registry"] if registry.plain_http else []
    with_key = ["--key", str(key), "--use-signing-config=false", "--tlog-upload=false"] if key else []
    options = ["--yes", *with_key, *insecure]
    _run(["cosign", "sign", *options, chart.pinned])
    if bill:
        _run(["cosign", "attest", *options, "--type", "cyclonedx", "--predicate", str(bill), chart.pinned])


def _run(command: Sequence[str]) -> str:
    """Run a program and return what it says on both outputs."""
    done = subprocess.run(command, timeout=LIMIT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout)
    return done.stdout
