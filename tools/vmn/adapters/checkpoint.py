"""A checkpoint's safetensors files: what their headers say, on disk or on the Hugging Face Hub."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from vmn.core.planning.model.checkpoint_sizes import Tensor

INDEX = "model.safetensors.index.json"
ONE_FILE = "model.safetensors"
LARGEST_HEADER = 100_000_000
"""Bytes of the longest header that the format allows."""
LENGTH_BYTES = 8
"""Bytes at the beginning of a file with the length of its header, little-endian."""

Read = Callable[[str, int, int], bytes]
"""Returns bytes of a file, by its name, the first byte, and their number."""


class CheckpointError(Exception):
    """A file is not a safetensors file; the message says which, and why."""


def files_of_index(content: bytes) -> list[str]:
    """Return the names of the files that an index lists.

    Raises:
        CheckpointError: the file is not an index.
    """
    try:
        names = set(json.loads(content)["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{INDEX} has no weight_map, so it is not an index of safetensors files") from error
    return sorted(str(name) for name in names)


def read_header(name: str, read: Read) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    Args:
        name: name of the file.
        read: returns bytes of the file.

    Raises:
        CheckpointError: the file is not a safetensors file.
        OSError: it can't be read.
    """
    start = read(name, 0, LENGTH_BYTES)
    size = struct.unpack("<Q", start)[0] if len(start) == LENGTH_BYTES else 0
    if not 2 <= size <= LARGEST_HEADER:
        raise CheckpointError(
            f"{name} does not begin with the length of a header: it is not a safetensors file, or it is cut off"
        )
    try:
        header = json.loads(read(name, LENGTH_BYTES, size))
        return {key: _tensor(entry) for key, entry in header.items() if key != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{name} has a header that can't be read ({error}): it may be cut off") from error


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    begin, end = entry["data_offsets"]
    return Tensor(str(entry["dtype"]), tuple(int(side) for side in entry["shape"]), int(end) - int(begin))


def tensors_of_folder(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of the checkpoint in a directory by name, empty without safetensors files.

    Raises:
        CheckpointError: a file is missing, or is not a safetensors file.
        OSError: a file can't be read.
    """
    index = folder / INDEX
    if index.is_file():
        names = files_of_index(index.read_bytes())
        missing = [name for name in names if not (folder / name).is_file()]
        if len(missing) == len(names):
            return {}
        if missing:
            raise CheckpointError(f"{missing[0]} is in {INDEX} but not in {folder} ({len(missing)} missing in all)")
    else:
        names = [ONE_FILE] if (folder / ONE_FILE).is_file() else []
    return headers(names, lambda name, begin, count: _read_part(folder / name, begin, count))


def headers(names: Iterable[str], read: Read) -> dict[str, Tensor]:
    """Return the tensors of several files together.

    Raises:
        CheckpointError: one of them is not a safetensors file.
        OSError: a file can't be read.
    """
    return {key: tensor for name in names for key, tensor in read_header(name, read).items()}


def _read_part(path: Path, begin: int, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(count)
