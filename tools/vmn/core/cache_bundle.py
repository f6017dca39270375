"""Bundles of caches: what is taken from a group that serves, and how a bundle describes itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

ROOT = "MULTINODE_CACHE"
"""The chart's variable with the folder of a pod's caches."""
NOT_TAKEN = frozenset({"HOME", "XDG_CACHE_HOME"})
"""Folders that programs also use for other things than what they compiled; tokens for example."""
PASSING = (".lock", ".tmp")
"""Ends of names of files that mean nothing to another process."""
LARGE = 100 * 10**6
"""Bytes of a rank: caches of DeepSeek-R1 shapes measured 85 MB."""
CONTENT = "cache"
DESCRIPTION = "bundle.json"


@dataclass(frozen=True)
class Share:
    """What one pod gave.

    Attributes:
        pod: its name.
        files: that it has.
        size: of them all, in bytes.
        new: files that no pod before it had.
    """

    pod: str
    files: int
    size: int
    new: int


@dataclass(frozen=True)
class Origin:
    """Where a bundle is from.

    Attributes:
        key: folder of the caches: version of the image and model.
        gpu: its name, ``none`` on CPUs.
        architecture: of the processor, as OCI images have it, such as ``amd64``.
        image: of vLLM.
        created: UTC, such as ``2026-11-26T12:00:00Z``.
    """

    key: str
    gpu: str
    architecture: str
    image: str
    created: str


def folders(env: Mapping[str, str]) -> list[str]:
    """Return the folders with caches below a pod's root, by its variables.

    Raises:
        ValueError: the pod is not of a chart that has a root of caches.
    """
    root = env.get(ROOT)
    if not root:
        raise ValueError(f"its pods have no variable {ROOT}: they are not this chart's, or of a version before bundles")
    below = {
        value.removeprefix(f"{root}/")
        for name, value in env.items()
        if value.startswith(f"{root}/") and name not in NOT_TAKEN
    }
    return sorted(below)


def is_taken(name: str) -> bool:
    """Return whether a file or folder of a pod's archive belongs into a bundle."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and not name.endswith(PASSING)


def description(origin: Origin, shares: Sequence[Share]) -> str:
    """Return ``bundle.json``: each text on a line of its own, as the chart's cache.sh reads it without a parser."""
    pods = {share.pod: {"files": share.files, "bytes": share.size, "new": share.new} for share in shares}
    return json.dumps({**vars(origin), "pods": pods}, indent=2) + "\n"
