"""Checks of files against the Hub, and of a checkpoint against its index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub import File

BLOCK = 16 * 2**20
"""Bytes to read at a time."""
INDEX = ".safetensors.index.json"
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
SEE = "see weights.download.exclude"


def check(path: Path, file: File, *, hashes: bool) -> str | None:
    """Return what is wrong with a downloaded file, or None."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"has {size} bytes, and the hub says {file.size}"
    wanted = file.sha256 or file.blob
    if not hashes or not wanted:
        return None
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    found = digest.hexdigest()
    return None if found == wanted else f"has the hash {found}, and the hub says {wanted}"


def index_problem(folder: Path, names: Sequence[str]) -> str | None:
    """Return why vLLM could not load the files of a checkpoint, or None."""
    if not any(name.endswith(WEIGHTS) for name in names):
        return f"none of the {len(names)} downloaded files contains weights: {SEE}, and check model.name."
    for name in names:
        if not name.endswith(INDEX):
            continue
        shards = json.loads((folder / name).read_text(encoding="utf-8"))["weight_map"].values()
        missing = sorted({str(Path(name).parent / shard) for shard in shards} - set(names))
        if missing:
            return (
                f"{name} lists {len(missing)} files that the repository lacks or that were left out, such as "
                f"{missing[0]}: {SEE}, or report it to the model's owner."
            )
    return None
