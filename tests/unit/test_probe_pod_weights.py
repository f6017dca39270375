"""Whether a checkpoint is complete, as the pods of a probe find it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.paths import CHECKOUT
from kit.render import render
from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.preflight.probe.expectations import expectations_of
from vmn.core.preflight.probe.node_checks import weights
from vmn.core.preflight.result import CheckStatus
from vmn.probe_pod.weights import INDEX, read

SHARDS = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
SIZE = 64
"""Bytes of each shard's tensor."""


def shard(tensor: str) -> bytes:
    """Return a safetensors file with one tensor."""
    header = json.dumps({"__metadata__": {"format": "pt"}, tensor: {"dtype": "U8", "data_offsets": [0, SIZE]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(SIZE)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Write a checkpoint of three shards."""
    folder = tmp_path / "models" / "R1"
    folder.mkdir(parents=True)
    for name in SHARDS:
        (folder / name).write_bytes(shard(name))
    index = {"metadata": {"total_size": 3 * SIZE}, "weight_map": {name: name for name in SHARDS}}
    (folder / INDEX).write_text(json.dumps(index))
    (folder / "config.json").write_text("{}")
    return folder


def problems(folder: Path) -> list[tuple[CheckStatus, str]]:
    """Return what is wrong with a checkpoint."""
    asked = expectations_of(
        RenderedRelease("vllm", "default", render(None, CHECKOUT / "values/tiny-cpu.yaml").documents)
    )
    facts = json.loads(json.dumps(read(str(folder))))
    return [(item.status, item.text) for item in weights(facts, asked)]


def test_complete_checkpoint_has_no_problem(checkpoint: Path) -> None:
    assert problems(checkpoint) == []
    facts = read(str(checkpoint))
    assert (facts["files"], facts["total"]) == (3, 3 * SIZE)


def test_one_file_without_an_index_has_no_problem(checkpoint: Path) -> None:
    for name in (INDEX, *SHARDS[1:]):
        (checkpoint / name).unlink()
    assert problems(checkpoint) == []


def test_weights_without_their_own_length_have_no_problem(checkpoint: Path) -> None:
    for name in (INDEX, *SHARDS):
        (checkpoint / name).unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(b"x")
    assert problems(checkpoint) == []
    assert read(str(checkpoint))["kind"] == ".bin"


def cut(folder: Path) -> None:
    file = folder / SHARDS[1]
    file.write_bytes(file.read_bytes()[:-1])


def pointer(folder: Path) -> None:
    (folder / SHARDS[1]).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")


def larger_index(folder: Path) -> None:
    index = json.loads((folder / INDEX).read_text())
    index["metadata"]["total_size"] = 10**6
    (folder / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (
            lambda folder: (folder / SHARDS[2]).unlink(),
            CheckStatus.FAIL,
            f"1 of 3 files of {{}} are missing: {SHARDS[2]}",
        ),
        (lambda folder: (folder / SHARDS[0]).write_bytes(b""), CheckStatus.FAIL, f"incomplete: {SHARDS[0]} (empty)"),
        (cut, CheckStatus.FAIL, f"{SHARDS[1]} (has "),
        (pointer, CheckStatus.FAIL, "its header is cut off, or it is not a safetensors file"),
        (larger_index, CheckStatus.WARN, "but their index says 1000000"),
        (lambda folder: (folder / "config.json").unlink(), CheckStatus.FAIL, "has no config.json"),
        (lambda folder: (folder / INDEX).write_text("{"), CheckStatus.FAIL, "can't be read: "),
    ],
    ids=["missing", "empty", "cut", "pointer", "index", "configuration", "broken index"],
)
def test_incomplete_checkpoint_is_reported(
    checkpoint: Path, change: Callable[[Path], None], status: CheckStatus, words: str
) -> None:
    change(checkpoint)
    found = problems(checkpoint)
    assert [item for item, _ in found] == [status]
    assert words.format(checkpoint) in found[0][1]


def test_folder_without_weights_is_reported(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert problems(tmp_path) == [(CheckStatus.FAIL, f"{tmp_path} has no weights")]


def test_wrong_path_is_reported_with_what_exists(checkpoint: Path) -> None:
    (_, text), *others = problems(checkpoint.parent / "R2")
    assert others == []
    assert text == f"{checkpoint.parent}/R2 does not exist; {checkpoint.parent} has R1"
