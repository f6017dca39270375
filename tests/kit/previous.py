"""The previous chart and its values files, from an archive, as a clone may have no history."""

from __future__ import annotations

import atexit
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from kit.paths import CHECKOUT
from vmn.adapters.archives import unpack

ARCHIVE = CHECKOUT / "tests" / "upgrade" / "previous.tar.gz"
"""Written by ``make previous REF=…`` with ``git archive``, which stores the commit in the archive."""


@dataclass(frozen=True)
class Previous:
    """The chart and the values files of a commit."""

    chart: Path
    presets: list[Path]
    commit: str

    @property
    def version(self) -> str:
        """The chart's version."""
        return str(yaml.safe_load((self.chart / "Chart.yaml").read_text(encoding="utf-8"))["version"])


@cache
def previous() -> Previous:
    """Return the previous chart, unpacked for the rest of the session."""
    directory = tempfile.TemporaryDirectory(prefix="vllm-multinode-previous-")
    atexit.register(directory.cleanup)
    return unpacked(ARCHIVE, Path(directory.name))


def unpacked(archive: Path, directory: Path) -> Previous:
    """Unpack an archive of ``make previous`` to a directory.

    Raises:
        ValueError: it is not such an archive.
    """
    try:
        with tarfile.open(archive) as tar:
            commit = tar.pax_headers.get("comment", "")
            unpack(tar, directory)
    except tarfile.TarError as error:
        raise ValueError(f"{archive.name}: {error}") from error
    chart = directory / "charts" / "vllm-multinode"
    presets = sorted((directory / "values").glob("*.yaml"))
    if not commit or not presets or not (chart / "Chart.yaml").is_file():
        raise ValueError(f"{archive.name}: not written by make previous (a commit, a chart and values files)")
    return Previous(chart, presets, commit)
