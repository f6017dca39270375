"""Whether a checkpoint on a volume is complete, by its index and by the header of each file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

INDEX = "model.safetensors.index.json"
OTHERS = (".bin", ".pt", ".pth", ".gguf")
"""Endings of weight files that do not contain their own length."""
SHOWN = 5
"""Names that are shown of each list, in addition to its length."""
LONGEST_HEADER = 100_000_000
"""Bytes of the longest header that the safetensors library accepts."""


def read(path: str) -> dict[str, Any]:
    """Return what is missing, empty, or truncated in a checkpoint's directory."""
    folder = Path(path)
    if not folder.is_dir():
        if folder.is_file():
            return {"path": path, "error": None, "files": 1, "kind": folder.suffix, "size": folder.stat().st_size}
        return {"path": path, "error": "does not exist", "near": _near(folder)}
    try:
        return {"path": path, **_checkpoint(folder)}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        return {"path": path, "error": f"can't be read: {error}"}


def _near(folder: Path) -> dict[str, Any]:
    above = next(item for item in folder.parents if item.is_dir())
    try:
        names = sorted(item.name for item in above.iterdir() if not item.name.startswith("."))
    except OSError as error:
        names = [f"({error.strerror})"]
    return {"folder": str(above), "has": names[:SHOWN]}


def _checkpoint(folder: Path) -> dict[str, Any]:
    there = {item.name: item.stat().st_size for item in folder.iterdir() if item.exists()}
    index = json.loads((folder / INDEX).read_text(encoding="utf-8")) if INDEX in there else None
    shards = sorted(set(index["weight_map"].values()) if index else _named(there, (".safetensors",)))
    missing = [name for name in shards if name not in there]
    broken = {name: why for name in shards if name in there and (why := _broken(folder / name, there[name]))}
    others = [] if shards else _named(there, OTHERS)
    return {
        "error": None,
        "configuration": bool({"config.json", "params.json"} & set(there)),
        "kind": INDEX if index else ".safetensors" if shards else Path(others[0]).suffix if others else None,
        "files": len(shards or others),
        "size": sum(there.get(name, 0) for name in shards or others),
        "total": (index.get("metadata") or {}).get("total_size") if index else None,
        "missing": {"count": len(missing), "names": missing[:SHOWN]},
        "broken": {"count": len(broken), "names": dict(list(broken.items())[:SHOWN])},
    }


def _named(names: dict[str, int], endings: tuple[str, ...]) -> list[str]:
    return sorted(name for name in names if name.endswith(endings))


def _broken(file: Path, size: int) -> str | None:
    """Return what is wrong with a safetensors file, by the length in its header."""
    if size == 0:
        return "empty"
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, LONGEST_HEADER):
            return "its header is cut off, or it is not a safetensors file"
        header = json.loads(stream.read(length))
    ends = [item["data_offsets"][1] for name, item in header.items() if name != "__metadata__"]
    promised = 8 + length + max(ends, default=0)
    return None if size == promised else f"has {size} of {promised} bytes"
