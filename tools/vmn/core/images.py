"""What a release pulls and downloads: images, and the model if a pod downloads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmn.core.cluster.rendered import RenderedRelease, plain_env

SETTINGS = "MULTINODE_WEIGHTS"
"""The environment variable with the settings of the chart's downloader."""


@dataclass(frozen=True)
class Needed:
    """An item to mirror.

    Attributes:
        kind: ``image`` or ``model``.
        source: the original reference, ``model@revision`` for a model.
        target: the reference that the release uses; it is the same without a mirror.
    """

    kind: str
    source: str
    target: str


def needed(release: RenderedRelease, own: RenderedRelease) -> list[Needed]:
    """Return what to mirror, each item once.

    Args:
        release: the release.
        own: the same release with each image in its original registry.
    """
    pairs = dict(zip(images(own), images(release), strict=True))
    found = [Needed("image", source, target) for source, target in pairs.items()]
    return [*found, *(Needed("model", name, name) for name in dict.fromkeys(models(release)))]


def images(release: RenderedRelease) -> Iterator[str]:
    """Yield the images of all pods, including image volumes; some come more than once."""
    for spec in release.pod_specs:
        for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
            yield container["image"]
        for volume in spec.get("volumes") or ():
            if "image" in volume:
                yield volume["image"]["reference"]


def models(release: RenderedRelease) -> Iterator[str]:
    """Yield the models that pods download from the hub or a mirror, with their revisions."""
    for spec in release.pod_specs:
        for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
            env = plain_env(container)
            if settings := env.get(SETTINGS):
                download = json.loads(settings)
                yield f"{download['model']}@{download['revision']}"
            if container["name"].startswith("vllm-") and "HF_HOME" in env and env.get("HF_HUB_OFFLINE") != "1":
                yield _served(container["args"])


def _served(words: Sequence[str]) -> str:
    revision = words[words.index("--revision") + 1] if "--revision" in words else "main"
    return f"{words[0]}@{revision}"
