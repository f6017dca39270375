"""What a release takes from elsewhere: images, and the model where something downloads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]
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


def needed(objects: Sequence[Object], own: Sequence[Object]) -> list[Needed]:
    """Return what to mirror, each thing once.

    Args:
        objects: the release as it is rendered.
        own: the same with every image in its own registry.
    """
    pairs = dict(zip(images(own), images(objects), strict=True))
    found = [Needed("image", source, target) for source, target in pairs.items()]
    return [*found, *(Needed("model", name, name) for name in dict.fromkeys(models(objects)))]


def images(objects: Sequence[Object]) -> Iterator[str]:
    """Yield the images of all pods, also those that are volumes; some come more than once."""
    for spec in pod_specs(objects):
        for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
            yield container["image"]
        for volume in spec.get("volumes") or ():
            if "image" in volume:
                yield volume["image"]["reference"]


def models(objects: Sequence[Object]) -> Iterator[str]:
    """Yield the models that pods download from the hub or a mirror of it, with their revisions."""
    for spec in pod_specs(objects):
        for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
            env = {item["name"]: item.get("value") for item in container.get("env") or ()}
            if settings := env.get(SETTINGS):
                asked = json.loads(settings)
                yield f"{asked['model']}@{asked['revision']}"
            if container["name"].startswith("vllm-") and "HF_HOME" in env and env.get("HF_HUB_OFFLINE") != "1":
                yield _served(container["args"])


def _served(words: Sequence[str]) -> str:
    revision = words[words.index("--revision") + 1] if "--revision" in words else "main"
    return f"{words[0]}@{revision}"


def pod_specs(objects: Sequence[Object]) -> Iterator[Object]:
    """Yield the specifications of a release's pods: of its group and of its Jobs."""
    for item in objects:
        if item["kind"] == "LeaderWorkerSet":
            template = item["spec"]["leaderWorkerTemplate"]
            for role in ("leaderTemplate", "workerTemplate"):
                if role in template:
                    yield template[role]["spec"]
        elif item["kind"] == "Job":
            yield item["spec"]["template"]["spec"]
