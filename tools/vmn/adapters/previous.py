"""The chart before this one: what chart-testing finds in git, and what lies in an archive of the checkout."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from vmn.adapters.files import read_values
from vmn.adapters.programs import MissingError, run
from vmn.core.values import ValuesError

GIT_LIMIT = 20
"""Seconds."""
IN_CHECKOUT = Path("tests") / "upgrade" / "previous.tar.gz"
"""The release before, in a checkout: written by ``make previous``."""


def why_not_from_git(root: Path, config: Path) -> str:
    """Return why chart-testing can't find its target branch's chart in the history, or nothing.

    Args:
        root: the checkout's folder.
        config: chart-testing's configuration.
    """
    try:
        values = read_values(config)
    except (OSError, ValuesError) as error:
        return f"{config.name} can't be read ({error})"
    branch = f"{values.get('remote', 'origin')}/{values.get('target-branch', 'master')}"
    try:
        top = run(["git", "-C", str(root), "rev-parse", "--show-toplevel"], GIT_LIMIT)
        if top.code or Path(top.stdout.strip()).resolve() != root.resolve():
            return f"{root} is no git checkout"
        if run(["git", "-C", str(root), "rev-parse", "--verify", "--quiet", branch], GIT_LIMIT).code:
            return f"there is no branch {branch} (git fetch {branch.replace('/', ' ', 1)})"
        if run(["git", "-C", str(root), "merge-base", branch, "HEAD"], GIT_LIMIT).code:
            return f"HEAD and {branch} have no common commit here (a shallow clone: git fetch --unshallow)"
    except MissingError:
        return "git is not on PATH"
    return ""


def unpacked(archive: Path, folder: Path) -> Path:
    """Return the chart of an archive, unpacked: one of a checkout (``make previous``) or one of ``helm package``.

    Raises:
        MissingError: it is no such archive.
    """
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except tarfile.TarError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise MissingError(f"{archive} is no archive of a chart: {error}.") from error
    charts = sorted(folder.glob("charts/*/Chart.yaml")) or sorted(folder.glob("*/Chart.yaml"))
    if len(charts) != 1:
        raise MissingError(f"{archive} has {len(charts)} charts instead of one, at its top or in charts/.")
    return charts[0].parent
