"""What a release takes from elsewhere: images, and the model where something downloads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmn.core.cluster.rendered import RenderedRelease, plain_env

SETTINGS = "MULTINODE_WEIGHTS"
"""The variable that tells the chart's downloader what to bring."""


@dataclass(frozen=True)
class Needed:
    """One thing to mirror.

    Attributes:
        kind: ``image`` or ``model``.
        source: its own reference, ``model@revision`` for a model.
        target: where the release takes it from; the same when nothing is overridden.
    """

    kind: str
    source: str
    target: str


def needed(release: RenderedRelease, own: RenderedRelease) -> list[Needed]:
    """Return what to mirror, each thing once.

    Args:
        release: as it is rendered.
        own: the same with every image in its own registry.
    """
    pairs = dict(zip(images(own), images(release), strict=True))
    found = [Needed("image", source, target) for source, target in pairs.items()]
    return [*found, *(Needed("model", name, name) for name in dict.fromkeys(models(release)))]


def images(release: RenderedRelease) -> Iterator[str]:
    """Yield the images of all pods, also those that are volumes; some come more than once."""
    for spec in release.pod_specs:
        for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
            yield container["image"]
        for volume in spec.get("volumes") or ():
            if "image" in volume:
                yield volume["image"]["reference"]


def models(release: RenderedRelease) -> Iterator[str]:
    """Yield the models that pods download from the hub or a mirror of it, with their revisions."""
    for spec in release.pod_specs:
        for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
            env = plain_env(container)
            if settings := env.get(SETTINGS):
                asked = json.loads(settings)
                yield f"{asked['model']}@{asked['revision']}"
            if container["name"].startswith("vllm-") and "HF_HOME" in env and env.get("HF_HUB_OFFLINE") != "1":
                yield _served(container["args"])


def _served(words: Sequence[str]) -> str:
    revision = words[words.index("--revision") + 1] if "--revision" in words else "main"
    return f"{words[0]}@{revision}"
