"""Cache bundles: what they contain, how they describe themselves, and as images."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vmn.adapters import oci_archive
from vmn.adapters.cache_bundle import add_share
from vmn.core.cache_bundle import Origin, Share, description, folders, is_taken

ORIGIN = Origin("v1-some--model", "NVIDIA H200", "amd64", "vllm/vllm-openai:v1", "2026-11-26T12:00:00Z")
ENV = {
    "MULTINODE_CACHE": "/cache/v1-some--model",
    "HOME": "/cache/v1-some--model/home",
    "XDG_CACHE_HOME": "/cache/v1-some--model/home/.cache",
    "TRITON_CACHE_DIR": "/cache/v1-some--model/triton",
    "VLLM_CACHE_ROOT": "/cache/v1-some--model/vllm",
    "MULTINODE_FAILURES": "/cache/failures",
    "MODELS": "/models",
}


def archive(files: Mapping[str, bytes], mode: int = 0o600, at: float = 1.5) -> io.BytesIO:
    """Return a ``.tar.gz`` of files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT) as out:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime, member.uid = len(content), mode, at, 2000
            out.addfile(member, io.BytesIO(content))
    stream.seek(0)
    return stream


def test_folders_are_the_caches_and_not_the_home() -> None:
    assert folders(ENV) == ["triton", "vllm"]


def test_folders_of_another_chart_are_an_error() -> None:
    with pytest.raises(ValueError, match="MULTINODE_CACHE"):
        folders({"HOME": "/root"})


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("triton/a.so", True),
        ("vllm/x.lock", False),
        ("/etc/passwd", False),
        ("triton/../../x", False),
        ("vllm/y.tmp", False),
    ],
)
def test_only_files_below_the_root_that_mean_something_are_taken(name: str, taken: bool) -> None:
    assert is_taken(name) is taken


def test_shares_add_up_to_one_tree_that_anybody_can_read() -> None:
    made, seen = io.BytesIO(), set[str]()
    with tarfile.open(fileobj=made, mode="w") as bundle:
        first = add_share(bundle, "vllm-0", archive({"triton/a": b"one", "vllm/0": b"leader"}, mode=0o700), seen)
        second = add_share(bundle, "vllm-0-1", archive({"triton/a": b"one", "vllm/8": b"worker"}), seen)
    assert first == Share("vllm-0", files=2, size=9, new=2)
    assert second == Share("vllm-0-1", files=2, size=9, new=1)
    made.seek(0)
    with tarfile.open(fileobj=made) as bundle:
        members = {member.name: member for member in bundle}
    assert list(members) == ["cache/triton/a", "cache/vllm/0", "cache/vllm/8"]
    assert {member.uid for member in members.values()} == {0}
    assert (members["cache/triton/a"].mode, members["cache/vllm/8"].mode) == (0o755, 0o644)
    assert {member.mtime for member in members.values()} == {1}


@pytest.mark.parametrize("name", ["triton/" + "k" * 150 + "/kernel.so", "vllm/é/graph"])
def test_names_in_other_forms_of_tar_are_below_the_root_as_well(name: str) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as bundle:
        add_share(bundle, "vllm-0", archive({name: b"one"}), set())
    made.seek(0)
    with tarfile.open(fileobj=made) as bundle:
        assert bundle.getnames() == [f"cache/{name}"]


def test_broken_stream_is_an_error() -> None:
    broken = io.BytesIO(archive({"triton/a": os.urandom(30000)}).getvalue()[:-2000])
    with tarfile.open(fileobj=io.BytesIO(), mode="w") as bundle, pytest.raises((tarfile.TarError, EOFError)):
        add_share(bundle, "vllm-0", broken, set())


def test_description_has_each_text_on_a_line_of_its_own() -> None:
    text = description(ORIGIN, [Share("vllm-0", 2, 9, 2)])
    assert '  "gpu": "NVIDIA H200",\n' in text
    assert json.loads(text)["pods"] == {"vllm-0": {"files": 2, "bytes": 9, "new": 2}}


def test_image_has_its_blobs_by_their_digests(tmp_path: Path) -> None:
    layer, image = tmp_path / "layer.tar.gz", tmp_path / "image.tar"
    layer.write_bytes(archive({"bundle.json": b"{}"}).getvalue())
    oci_archive.write(image, layer, "arm64", {"a": "b"}, "v1")
    with tarfile.open(image) as out:
        blobs = {name: out.extractfile(name).read() for name in out.getnames()}  # type: ignore[union-attr]
    for name, content in blobs.items():
        assert not name.startswith("blobs/") or name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"

    def blob(described: Mapping[str, Any]) -> bytes:
        found = blobs[f"blobs/sha256/{described['digest'].removeprefix('sha256:')}"]
        assert described["size"] == len(found)
        return found

    (entry,) = json.loads(blobs["index.json"])["manifests"]
    assert entry["platform"] == {"architecture": "arm64", "os": "linux"}
    manifest = json.loads(blob(entry))
    content = blob(manifest["layers"][0])
    config = json.loads(blob(manifest["config"]))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(gzip.decompress(content)).hexdigest()}"]
    assert content == layer.read_bytes()
