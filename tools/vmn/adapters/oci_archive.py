"""OCI images of one layer, as archives that registry clients can push (``oci-archive:`` of skopeo and podman).

They follow version 1.1 of the image specification: a layout of blobs by digest, with an index.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

CHUNK = 2**20


def write(archive: Path, layer: Path, architecture: str, annotations: dict[str, str], tag: str) -> None:
    """Write an image.

    Args:
        archive: file to write.
        layer: a ``.tar.gz`` with the files of the image.
        architecture: architecture, such as ``amd64``.
        annotations: annotations of the manifest.
        tag: tag in the layout; containerd imports the image as ``vllm-cache`` with this tag.
    """
    described = _of_file(layer)
    config = {
        "architecture": architecture,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [_uncompressed(layer)]},
        "config": {},
    }
    config_blob = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _described(config_blob, "application/vnd.oci.image.config.v1+json"),
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **described}],
        "annotations": annotations,
    }
    manifest_blob = json.dumps(manifest).encode()
    entry = _described(manifest_blob, "application/vnd.oci.image.manifest.v1+json")
    entry |= {
        "platform": {"architecture": architecture, "os": "linux"},
        "annotations": {
            "org.opencontainers.image.ref.name": tag,
            "io.containerd.image.name": f"docker.io/library/vllm-cache:{tag}",
        },
    }
    with tarfile.open(archive, "w") as out:
        _add(out, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(out, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        for blob in (config_blob, manifest_blob):
            _add(out, _place(hashlib.sha256(blob).hexdigest()), blob)
        out.add(layer, _place(described["digest"].removeprefix("sha256:")))


def _place(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _described(blob: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


def _of_file(path: Path) -> dict[str, Any]:
    with path.open("rb") as handle:
        return {"digest": f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}", "size": path.stat().st_size}


def _uncompressed(path: Path) -> str:
    digest = hashlib.sha256()
    with gzip.open(path, "rb") as handle:
        while chunk := handle.read(CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _add(out: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    out.addfile(member, io.BytesIO(content))
