"""Listing what a release pulls and downloads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vmn.adapters.helm import manifests
from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.images import Needed, needed

RELEASE = ("vllm", "default")
"""A name and a namespace: neither is in the result."""
OWN_REGISTRIES = ("--set", "global.imageRegistry=null")


def images(chart: Path, files: Sequence[Path]) -> list[Needed]:
    """Return what has to be mirrored for a release with some values files.

    Raises:
        MissingError: Helm is not on PATH.
        RenderError: the chart refuses the values.
    """
    rendered, own = (
        RenderedRelease(*RELEASE, manifests(chart, files, *RELEASE, options=options))
        for options in ((), OWN_REGISTRIES)
    )
    return needed(rendered, own)
