"""The leader that the chart renders, as a group of one node and one GPU, laid out in a directory of this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kit.paths import CHECKOUT

IMAGE = CHECKOUT / "images/vllm-ray"
ONE_NODE = ("--pipeline-parallel-size", "--tensor-parallel-size")
"""Sizes that two nodes have and one GPU has not."""


@dataclass
class Pod:
    """A rendered leader in a directory of this machine: its command, its environment, and what was changed."""

    command: Sequence[str]
    env: dict[str, str]
    changed: Sequence[str]

    @property
    def port(self) -> int:
        """The API's port."""
        return int(self.env["MULTINODE_PORT"])


def read_pod(manifests: Path, backend: str, checkpoint: Path, folder: Path, address: str) -> Pod:
    """Lay out the leader of rendered manifests in a directory.

    Args:
        manifests: what ``helm template`` printed.
        backend: that they must be of, ``ray`` or ``mp``.
        checkpoint: the model's directory, in the place of the rendered one.
        folder: an empty directory, in the place of the pod's volumes.
        address: of this machine, in the place of the pod's.

    Raises:
        ValueError: the manifests have no leader of this backend.
    """
    documents = [document for document in yaml.safe_load_all(manifests.read_text(encoding="utf-8")) if document]
    groups = [document for document in documents if document["kind"] == "LeaderWorkerSet"]
    if len(groups) != 1:
        raise ValueError(f"{manifests}: {len(groups)} LeaderWorkerSets instead of one")
    spec = groups[0]["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]
    container = spec["containers"][0]
    settings = {item["name"]: item["value"] for item in container["env"] if "value" in item}
    if settings.get("MULTINODE_BACKEND") != backend:
        raise ValueError(f"{manifests}: engine.backend is {settings.get('MULTINODE_BACKEND')}, not {backend}")
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    local = {path: str(folder / name) for name, path in mounts.items() if name not in ("dshm", "tmp")}
    _fill(folder, documents, spec["volumes"])
    model, *rest = container["args"]
    words, changed = _one_node(rest)
    pairs = {model: str(checkpoint), **local}
    env = {**os.environ, **{name: _here(value, pairs) for name, value in settings.items()}}
    env |= {
        "PATH": f"{IMAGE}:{os.environ['PATH']}",
        "VLLM_HOST_IP": address,
        "TERMINATION_LOG": str(folder / "message"),
    }
    env |= {"LWS_GROUP_SIZE": "1", "LWS_WORKER_INDEX": "0", "LWS_LEADER_ADDRESS": "vllm-0.vllm"}
    command = [*(_here(word, pairs) for word in container["command"]), str(checkpoint), *words]
    return Pod(command, env, changed)


def _fill(folder: Path, documents: Sequence[Mapping[str, Any]], volumes: Sequence[Mapping[str, Any]]) -> None:
    """Make the pod's volumes: directories, with the files of ConfigMaps."""
    files = {item["metadata"]["name"]: item["data"] for item in documents if item["kind"] == "ConfigMap"}
    for volume in volumes:
        target = folder / volume["name"]
        target.mkdir()
        for name, text in files.get(volume.get("configMap", {}).get("name"), {}).items():
            (target / name).write_text(text, encoding="utf-8")
    (folder / "message").touch()


def _here(text: str, pairs: Mapping[str, str]) -> str:
    """Return a word with a path of the pod as the path of this machine that stands for it."""
    found = next((path for path in pairs if text == path or text.startswith(f"{path}/")), None)
    return text if found is None else pairs[found] + text.removeprefix(found)


def _one_node(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words with sizes of one GPU, and what that changed."""
    made, changed = list(words), []
    for at, word in enumerate(words[:-1]):
        if word in ONE_NODE and words[at + 1] != "1":
            made[at + 1] = "1"
            changed.append(f"{word} {words[at + 1]} -> 1")
    return made, changed
