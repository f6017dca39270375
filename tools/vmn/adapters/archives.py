"""Unpacking archives of charts, with no file outside their directory."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path


def unpack(tar: tarfile.TarFile, folder: Path) -> None:
    """Write the files of an archive below a directory. tarfile has its own filter for that only since Python 3.11.4.

    Args:
        tar: an open archive.
        folder: the directory, which is created if necessary.

    Raises:
        tarfile.TarError: the archive has more than files and directories, or a path outside the directory.
    """
    top = folder.resolve()
    for member in tar:
        target = (top / member.name).resolve()
        if not target.is_relative_to(top):
            raise tarfile.TarError(f"{member.name} points outside the archive")
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        data = tar.extractfile(member) if member.isfile() else None
        if data is None:
            raise tarfile.TarError(f"{member.name} is neither a file nor a directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        with data, target.open("wb") as file:
            shutil.copyfileobj(data, file)
        target.chmod(0o755 if member.mode & 0o100 else 0o644)
