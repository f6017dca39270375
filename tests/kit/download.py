"""The chart's downloader, run as its container does: with huggingface_hub, against a small hub."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.paths import CHART
from kit.scripts import namespace

SCRIPTS = CHART / "files" / "weights"
MODEL = "example/tiny"
LIMIT = 120
"""Seconds that a download of the tests may take: the import alone takes some on a busy machine."""
INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
SIZE = 2**19
"""Bytes of a shard's tensor."""


def shard(tensor: str) -> bytes:
    """Return a file of safetensors with one tensor."""
    header = json.dumps({tensor: {"dtype": "U8", "shape": [SIZE], "data_offsets": [0, SIZE]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(SIZE)


def write_model(directory: Path) -> Path:
    """Write a model as the hub has it: two shards with an index, and the same weights in other formats."""
    (directory / "original").mkdir(parents=True)
    for name in SHARDS:
        (directory / name).write_bytes(shard(name))
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {name: name for name in SHARDS}}))
    (directory / "config.json").write_text("{}")
    for name in ("original/consolidated.00.pth", "pytorch_model.bin", "consolidated.safetensors"):
        (directory / name).write_bytes(b"the same")
    return directory


class Container:
    """The download's container."""

    def __init__(self, path: Path, endpoint: str, **asked: Any) -> None:
        """Make one.

        Args:
            path: the checkpoint's directory.
            endpoint: of the hub.
            asked: what the chart asks for, over its defaults and short times.
        """
        self.path = path
        given = {
            **{"model": MODEL, "revision": "main", "path": str(path), "exclude": None, "hashes": True},
            **{"seconds": 60, "backoff": 0, "tick": 0.2, **asked},
        }
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(path.parent / "home"),
            "HF_ENDPOINT": endpoint,
            "MULTINODE_WEIGHTS": json.dumps(given),
        }

    def start(self, script: str = "fill", *, inside: str = "") -> subprocess.Popen[str]:
        """Start a script.

        Args:
            script: ``fill`` or ``wait``.
            inside: commands of a shell with mounts of its own, before it.
        """
        command = [sys.executable, "-B", str(SCRIPTS / f"{script}.py")]
        if inside:
            command = [*namespace(), "bash", "-c", f'{inside}\nexec "$@"', "inside", *command]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, script: str = "fill", *, inside: str = "") -> tuple[int, str]:
        """Run a script to its end, and return its status and all that it said."""
        with self.start(script, inside=inside) as process:
            said, _ = process.communicate(timeout=LIMIT)
        return process.returncode, said

    def files(self) -> list[str]:
        """Return the files of the checkpoint, without hidden ones."""
        there = (file.relative_to(self.path) for file in self.path.rglob("*") if file.is_file())
        return sorted(str(file) for file in there if not str(file).startswith("."))

    def hidden(self) -> set[str]:
        """Return the names of hidden files beside the checkpoint's."""
        return {file.name for file in self.path.iterdir() if file.is_file() and file.name.startswith(".")}

    def marker(self) -> Mapping[str, Any]:
        """Return what the marker says."""
        found: Mapping[str, Any] = json.loads((self.path / ".vllm-multinode.json").read_text(encoding="utf-8"))
        return found
