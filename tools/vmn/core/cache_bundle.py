"""Cache bundles: what they take from a group that serves, and how they describe themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

ROOT = "MULTINODE_CACHE"
"""The chart's environment variable with the directory of a pod's caches."""
NOT_TAKEN = frozenset({"HOME", "XDG_CACHE_HOME"})
"""Variables of directories that programs also use for other data than caches, such as tokens."""
PASSING = (".lock", ".tmp")
"""Endings of names of files that mean nothing to another process."""
LARGE = 100 * 10**6
"""Bytes of a pod above which its caches are unusually large; DeepSeek-R1 shapes measured 85 MB."""
CONTENT = "cache"
DESCRIPTION = "bundle.json"


@dataclass(frozen=True)
class Share:
    """What one pod contributed.

    Attributes:
        pod: name of the pod.
        files: number of its files.
        size: size of its files in bytes.
        new: number of its files that no earlier pod had.
    """

    pod: str
    files: int
    size: int
    new: int


@dataclass(frozen=True)
class Origin:
    """Where a cache bundle is from.

    Attributes:
        key: name of the directory of the caches: the version of the image, and the model.
        gpu: name of the GPU, ``none`` on CPUs.
        architecture: architecture of the processor, as OCI images name it, such as ``amd64``.
        image: image of vLLM.
        created: time of creation in UTC, such as ``2026-11-26T12:00:00Z``.
    """

    key: str
    gpu: str
    architecture: str
    image: str
    created: str


def folders(env: Mapping[str, str]) -> list[str]:
    """Return the directories with caches below a pod's cache directory, by its environment variables.

    Raises:
        ValueError: the variables name no cache directory.
    """
    root = env.get(ROOT)
    if not root:
        raise ValueError(
            f"its pods have no variable {ROOT}: they belong to another chart, or to a version without cache bundles"
        )
    below = {
        value.removeprefix(f"{root}/")
        for name, value in env.items()
        if value.startswith(f"{root}/") and name not in NOT_TAKEN
    }
    return sorted(below)


def is_taken(name: str) -> bool:
    """Return whether a file or directory of a pod's archive belongs in a cache bundle."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and not name.endswith(PASSING)


def description(origin: Origin, shares: Sequence[Share]) -> str:
    """Return ``bundle.json``, with one field per line because the chart's cache.sh reads it without a parser."""
    pods = {share.pod: {"files": share.files, "bytes": share.size, "new": share.new} for share in shares}
    return json.dumps({**vars(origin), "pods": pods}, indent=2) + "\n"
