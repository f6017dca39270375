"""The previous chart: what chart-testing finds in git, and the archive in the checkout."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from vmn.adapters.archives import unpack
from vmn.adapters.files import read_values
from vmn.adapters.programs import MissingError, run
from vmn.core.values.yaml import ValuesError

GIT_LIMIT = 20
"""Seconds."""
IN_CHECKOUT = Path("tests") / "upgrade" / "previous.tar.gz"
"""The previous release in a checkout, which ``make previous`` writes."""


def why_not_from_git(root: Path, config: Path) -> str:
    """Return why chart-testing can't find the target branch's chart in the history, empty when it can.

    Args:
        root: directory of the checkout.
        config: configuration of chart-testing.
    """
    try:
        values = read_values(config)
    except (OSError, ValuesError) as error:
        return f"{config.name} can't be read ({error})"
    branch = f"{values.get('remote', 'origin')}/{values.get('target-branch', 'master')}"
    try:
        top = run(["git", "-C", str(root), "rev-parse", "--show-toplevel"], GIT_LIMIT)
        if top.code or Path(top.stdout.strip()).resolve() != root.resolve():
            return f"{root} is not the top of a git checkout"
        if run(["git", "-C", str(root), "rev-parse", "--verify", "--quiet", branch], GIT_LIMIT).code:
            return f"branch {branch} does not exist (git fetch {branch.replace('/', ' ', 1)})"
        if run(["git", "-C", str(root), "merge-base", branch, "HEAD"], GIT_LIMIT).code:
            return f"HEAD and {branch} have no common commit here (a shallow clone: git fetch --unshallow)"
    except MissingError:
        return "git is not on PATH"
    return ""


def unpacked(archive: Path, folder: Path) -> Path:
    """Return the unpacked chart of an archive, which ``make previous`` or ``helm package`` wrote.

    Raises:
        MissingError: the file is not such an archive.
    """
    try:
        with tarfile.open(archive) as tar:
            unpack(tar, folder)
    except tarfile.TarError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise MissingError(f"{archive} is not an archive of a chart: {error}.") from error
    charts = sorted(folder.glob("charts/*/Chart.yaml")) or sorted(folder.glob("*/Chart.yaml"))
    if len(charts) != 1:
        raise MissingError(f"{archive} has {len(charts)} charts instead of one, at its top or in charts/.")
    return charts[0].parent


def upgrades(chart: Path, previous: Path, values_files: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return the values files for upgrades: the ci values and the presets.

    Each is paired with the previous chart's file of that name, and left out if the previous chart does not have it. A
    file from elsewhere, or without files of the previous chart, serves for both.
    """
    files = [*sorted((chart / "ci").glob("*-values.yaml")), *values_files]
    return [(before, file) for file in files for before in _before(chart, previous, file)]


def _before(chart: Path, previous: Path, file: Path) -> Iterator[Path]:
    places = ((chart / "ci", previous / "ci"), (chart.parent.parent / "values", previous.parent.parent / "values"))
    for now, earlier in places:
        if file.resolve().parent == now.resolve() and earlier.is_dir():
            if (earlier / file.name).is_file():
                yield earlier / file.name
            return
    yield file
