"""Archives are unpacked into their directory, or refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from vmn.adapters.archives import unpack


def archive(folder: Path, *members: tarfile.TarInfo) -> Path:
    """Write an archive, each file with its own name in it."""
    file = folder / "chart.tgz"
    with tarfile.open(file, "w:gz") as tar:
        for member in members:
            data = member.name.encode()
            member.size = len(data) if member.isfile() else 0
            tar.addfile(member, io.BytesIO(data) if member.isfile() else None)
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, link: str = "") -> tarfile.TarInfo:
    """Return a member of an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, link
    return info


def test_files_and_folders_are_unpacked_unchanged(tmp_path: Path) -> None:
    file = archive(
        tmp_path, member("vllm", tarfile.DIRTYPE), member("vllm/files/start.sh", mode=0o755), member("vllm/a")
    )
    with tarfile.open(file) as tar:
        unpack(tar, tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {name: path.read_text() for name, path in found.items()} == {name: name for name in found}
    assert {name: oct(path.stat().st_mode & 0o777) for name, path in found.items()} == {
        "vllm/files/start.sh": "0o755",
        "vllm/a": "0o644",
    }


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (member("../out-of-it"), "points outside the archive"),
        (member("/etc/vllm"), "points outside the archive"),
        (member("vllm/link", tarfile.SYMTYPE, link="/etc/passwd"), "neither a file nor a directory"),
        (member("vllm/device", tarfile.CHRTYPE), "neither a file nor a directory"),
    ],
    ids=["above", "root", "link", "device"],
)
def test_path_outside_the_archive_is_refused(bad: tarfile.TarInfo, words: str, tmp_path: Path) -> None:
    with tarfile.open(archive(tmp_path, bad)) as tar, pytest.raises(tarfile.TarError, match=words):
        unpack(tar, tmp_path / "out")
    assert not (tmp_path / "out-of-it").exists()
