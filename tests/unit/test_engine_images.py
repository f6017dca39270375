"""Images made without a builder: what is in a layer and what an archive says of it."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

from localcluster import images


def read(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        handle = tar.extractfile(name)
        assert handle is not None
        return handle.read()


def packed(tmp_path: Path) -> Path:
    layer = images.layer_of({"/app": b"content"}, tmp_path / "layer.tar")
    out = tmp_path / "image.tar"
    images.archive("example/app:1", layer, ["/app", "-v"], {"B": "2", "A": "1"}, "65532", out, workdir="/tmp")
    return out


def config_of(archive: Path) -> Any:
    manifest = json.loads(read(archive, "manifest.json"))[0]
    return json.loads(read(archive, manifest["Config"]))


def test_layer_holds_files_with_their_parents_before_them(tmp_path: Path) -> None:
    layer = images.layer_of({"usr/bin/b": b"b", "/etc/a": b"a"}, tmp_path / "layer.tar", {"tmp": 0o1777})
    with tarfile.open(layer) as tar:
        assert tar.getnames() == ["etc", "tmp", "usr", "usr/bin", "etc/a", "usr/bin/b"]
        assert tar.getmember("tmp").mode == 0o1777
        assert {member.uid for member in tar} == {0}


def test_layer_keeps_only_whether_a_file_may_be_run(tmp_path: Path) -> None:
    program, text = tmp_path / "program", tmp_path / "text"
    program.write_bytes(b"x")
    program.chmod(0o700)
    text.write_bytes(b"y")
    text.chmod(0o600)
    with tarfile.open(images.layer_of({"p": program, "t": text}, tmp_path / "layer.tar")) as tar:
        assert (tar.getmember("p").mode, tar.getmember("t").mode) == (0o755, 0o644)


def test_same_content_gives_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert packed(first).read_bytes() == packed(second).read_bytes()


def test_archive_names_the_image_and_its_layer(tmp_path: Path) -> None:
    out = packed(tmp_path)
    manifest = json.loads(read(out, "manifest.json"))[0]
    layer = read(out, manifest["Layers"][0])
    assert manifest["RepoTags"] == ["example/app:1"]
    assert config_of(out)["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]


def test_archive_says_how_to_run_it(tmp_path: Path) -> None:
    assert config_of(packed(tmp_path))["config"] == {
        "Entrypoint": ["/app", "-v"],
        "Env": ["A=1", "B=2"],
        "User": "65532",
        "WorkingDir": "/tmp",
    }
