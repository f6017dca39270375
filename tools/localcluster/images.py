"""Container images without a builder or a registry: docker-archive tars that ``ctr images import`` reads."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath


def layer_of(
    files: Mapping[str, Path | bytes],
    out: Path,
    directories: Mapping[str, int] | None = None,
) -> Path:
    """Write a layer tar that holds ``files`` and their parent directories, all owned by root, and return ``out``.

    The same content always gives the same bytes.

    Args:
        files: path in the image -> a file of this machine (mode 0755 if its owner may run it, else 0644)
            or the content itself (mode 0644).
        out: the tar to write.
        directories: further directories of the image -> mode, such as ``{"tmp": 0o1777}``.

    Raises:
        OSError: a file can't be read or ``out`` not be written.
    """
    modes = {parent: 0o755 for name in [*files, *(directories or {})] for parent in _parents(name)}
    modes.update({_inside(name): mode for name, mode in (directories or {}).items()})
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(modes):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, modes[name]
            tar.addfile(entry)
        for name, source in sorted(files.items()):
            _add_file(tar, _inside(name), source)
    return out


def archive(
    reference: str,
    layer: Path,
    entrypoint: Sequence[str],
    env: Mapping[str, str],
    user: str,
    out: Path,
    *,
    workdir: str = "/",
) -> None:
    """Write an image of one layer as a docker-archive tar.

    Args:
        reference: full name of the image with its tag, such as ``example.org/name:1.0``.
        layer: uncompressed tar of the root file system.
        entrypoint: program and arguments that a container runs.
        env: environment of the container.
        user: ``uid``, ``uid:gid`` or a name of the image's ``/etc/passwd``; empty means root.
        out: the tar to write.
        workdir: directory that the program starts in.

    Raises:
        OSError: ``layer`` can't be read or ``out`` not be written.
    """
    digest = _sha256(layer)
    settings = {
        "User": user,
        "Env": [f"{key}={value}" for key, value in sorted(env.items())],
        "Entrypoint": list(entrypoint),
        "WorkingDir": workdir,
    }
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "vllm-multinode localcluster"}],
        }
    )
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{digest}/layer.tar"
    manifest = _json([{"Config": config_name, "RepoTags": [reference], "Layers": [layer_name]}])
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        _add_file(tar, config_name, config)
        _add_file(tar, layer_name, layer)
        _add_file(tar, "manifest.json", manifest)


def _inside(name: str) -> str:
    return str(PurePosixPath(name.lstrip("/")))


def _parents(name: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(_inside(name)).parents if str(parent) != "."]


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _add_file(tar: tarfile.TarFile, name: str, source: Path | bytes) -> None:
    entry = tarfile.TarInfo(name)
    if isinstance(source, bytes):
        entry.size, entry.mode = len(source), 0o644
        tar.addfile(entry, io.BytesIO(source))
        return
    status = source.stat()
    entry.size, entry.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
    with source.open("rb") as handle:
        tar.addfile(entry, handle)
