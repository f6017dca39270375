"""Packs caches on this host by the code of ``vmn cache pack``, which reads them from pods on a cluster."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gpu.twopods.network import ProgramFailed, run
from vmn.adapters.archives import unpack
from vmn.adapters.cache_bundle import printing, write_archive
from vmn.core.cache_bundle import ROOT, Origin


def pack(env: Mapping[str, str], nodes: Mapping[str, Path], bundle: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Pack the caches of nodes into a bundle, unpack it into a directory, and return its sizes.

    Args:
        env: of the pods.
        nodes: pod -> directory of its node's cache, in the place of /cache.
        bundle: directory for the unpacked bundle.
        say: gets lines of progress.

    Raises:
        NotPackedError: a cache can't be read.
    """
    bundle.parent.mkdir(parents=True, exist_ok=True)
    file = bundle.with_suffix(".tar.gz")
    key = Path(env[ROOT]).name
    origin = Origin(key, _gpu(), os.uname().machine.replace("x86_64", "amd64"), "on this host", "2026-01-01T00:00:00Z")
    commands = {}
    for pod, folder in nodes.items():
        here = {
            name: value.replace("/cache", str(folder), 1) for name, value in env.items() if value.startswith("/cache")
        }
        commands[pod] = ["env", f"{ROOT}={here[ROOT]}", *printing({**env, **here})]
    shares = write_archive(file, origin, commands, say)
    with tarfile.open(file) as packed:
        unpack(packed, bundle)
    return {
        "files": {pod: share.files for pod, share in zip(nodes, shares, strict=False)},
        "mb": round(sum(share.size for share in shares) / 1e6, 1),
        "packed_mb": round(file.stat().st_size / 1e6, 1),
    }


def _gpu() -> str:
    """Return the name of the GPU, as the chart's ``cache.sh`` finds it."""
    try:
        return run("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()[0]
    except (ProgramFailed, IndexError):
        return "none"
