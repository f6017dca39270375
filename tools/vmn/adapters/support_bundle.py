"""Support bundles: what the doctor has read, without secrets, in one file."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from vmn.core import redact
from vmn.core.cluster.release import Release

LEFT_OUT = frozenset({"configmaps"})
"""Kinds that are only read to find a release, and may hold secrets."""


def write_bundle(path: Path, release: Release, findings: Mapping[str, str]) -> None:
    """Write objects as YAML, logs and findings into a .tgz.

    Args:
        path: path of the file.
        release: the release.
        findings: texts by the name of their file.

    Raises:
        OSError: the file can't be written.
    """
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files(release, findings):
            data = content.encode()
            entry = tarfile.TarInfo(f"{release.name}/{name}")
            entry.size, entry.mtime, entry.mode = len(data), int(release.now), 0o600
            archive.addfile(entry, io.BytesIO(data))


def files(release: Release, findings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of a support bundle, without secrets."""
    for plural, items in release.snapshot.objects.items():
        if plural not in LEFT_OUT:
            content = [redact.item(one) for one in items]
            yield f"{plural}.yaml", yaml.safe_dump_all(content, sort_keys=False, allow_unicode=True)
    for log in release.logs:
        run = ".previous" if log.previous else ""
        yield f"logs/{log.pod}.{log.container}{run}.log", redact.text(log.raw)
    for pod, reason in release.unread.items():
        yield f"logs/{pod}.unread.txt", redact.text(reason)
    for name, text in findings.items():
        yield name, redact.text(text)
