"""Everything that one tag publishes, in one directory, and whether the tree is ready for the tag."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from publishing import chart, python
from publishing.changelog import UNRELEASED, ChangelogError, notes, section_of
from publishing.chart import SigningKey
from vmn import __version__

CHECKOUT = Path(__file__).resolve().parent.parent.parent
CHART = CHECKOUT / "charts" / chart.NAME
CHANGELOG = CHECKOUT / "CHANGELOG.md"
REPOSITORY = "https://github.com/vllm-multinode/vllm-multinode"
NAMING = ("README.md", "docs", "examples")
"""Files and directories that tell a reader to install a version of the chart."""
INSTALLED = re.compile(r"(?:--version |targetRevision: |tag: |vllm-multinode==)(\d+\.\d+\.\d+)\b")


def problems(tag: str | None = None, checkout: Path = CHECKOUT) -> list[str]:
    """Return what keeps the tree from being released.

    Args:
        tag: the tag, such as ``v1.2.3``; with one, the changelog must have a date.
        checkout: the tree.
    """
    version = str(chart.metadata(checkout / "charts" / chart.NAME)["version"])
    found = []
    if __version__ != version:
        found.append(f"the chart is {version}, and vmn is {__version__}: they are released together")
    if tag is not None and tag != f"v{version}":
        found.append(f"the tag is {tag}, and the chart is {version}")
    try:
        section = section_of((checkout / "CHANGELOG.md").read_text(encoding="utf-8"), version)
        if tag is not None and section.date == UNRELEASED:
            found.append(f"CHANGELOG.md calls {version} unreleased: write the date")
        if not section.changes:
            found.append(f"CHANGELOG.md names no change of {version}")
    except ChangelogError as error:
        found.append(f"CHANGELOG.md: {error}")
    return [*found, *_other_versions(checkout, version)]


def _other_versions(checkout: Path, version: str) -> Iterator[str]:
    for name in NAMING:
        place = checkout / name
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.suffix in (".md", ".yaml"):
                for other in INSTALLED.findall(file.read_text(encoding="utf-8")):
                    if other != version:
                        yield f"{file.relative_to(checkout)} installs {other}, and the chart is {version}"


def build(out: Path, key: SigningKey | None = None) -> list[Path]:
    """Write all files of a release to a new directory, and their checksums.

    Args:
        out: the directory.
        key: the key to sign the chart's archive with.

    Raises:
        ChangelogError: the changelog is not in the form, or lacks the version.
        FileExistsError: the directory is there.
        subprocess.CalledProcessError: a program fails.
    """
    out.mkdir(parents=True)
    section = section_of(CHANGELOG.read_text(encoding="utf-8"), str(chart.metadata(CHART)["version"]))
    archive = chart.package(CHART, section, out, key)
    archive.with_suffix(".cdx.json").write_text(chart.bill_of_materials(CHART), encoding="utf-8")
    distributions = python.distributions(CHECKOUT, out / "python")
    (wheel,) = [file for file in distributions if file.suffix == ".whl"]
    bill = out / f"vmn-{section.version}.cdx.json"
    with tempfile.TemporaryDirectory() as directory:
        environment = python.installed(wheel, Path(directory) / "venv")
        bill.write_text(python.bill_of_materials(environment, CHECKOUT / "pyproject.toml"), encoding="utf-8")
    (out / "notes.md").write_text(notes(section, f"{REPOSITORY}/blob/v{section.version}"), encoding="utf-8")
    files = sorted(file for file in out.rglob("*") if file.is_file())
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(out)}\n" for file in files]
    (out / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    return [*files, out / "SHA256SUMS"]
