"""Whether a chart is one that this vmn knows: both are released together, with one version."""

from __future__ import annotations

from vmn.core.values.problem import ValuesProblem

CHART = "vllm-multinode"
"""Charts of other names are forks, whose versions mean something else."""


def pairing_problem(name: str, version: str, own: str) -> ValuesProblem | None:
    """Return the problem of a chart that is of another minor version than vmn, which adds and renames values.

    Args:
        name: the chart's name.
        version: the chart's version.
        own: vmn's version.
    """
    if name != CHART or series(version) == series(own):
        return None
    reason = f"chart {version} is not of the series of vmn {own}, which knows other values and rules"
    fix = f"Install vmn {series(version)}, for example with `pip install '{CHART}=={series(version)}.*'`."
    return ValuesProblem("", "", reason, fix, "pairing")


def series(version: str) -> str:
    """Return the major and the minor version, such as ``1.2``."""
    return ".".join(version.split(".")[:2])
