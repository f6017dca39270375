"""Where the project keeps what is slow to make: a user cache directory, one directory per content key."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from localcluster.host import say
from localcluster.instance import INSTANCE, Instance

APP = "vllm-multinode"


def cache_dir() -> Path:
    """Return the cache directory: ``$XDG_CACHE_HOME/vllm-multinode``, by default under ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / APP


def state_dir(instance: Instance = INSTANCE) -> Path:
    """Return a running cluster's directory: ``$XDG_STATE_HOME/vllm-multinode``, by default in ``~/.local/state``."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / instance.name


def content_key(parts: Iterable[str | bytes | Path]) -> str:
    """Return 16 hex digits that change when any part changes; a ``Path`` counts with its content.

    Raises:
        OSError: a file can't be read.
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part
        raw = data.encode() if isinstance(data, str) else data
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock named after ``path``, so that two runs never build the same thing at once.

    Says that it waits when another run holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"    waiting for another run, which holds {path.parent.name}/{path.name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def is_built(kind: str, key: str) -> bool:
    """Return whether the cache has the directory ``kind/key``."""
    return (cache_dir() / kind / key).is_dir()


def built(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """Return the cached directory ``kind/key``, made by ``build(directory)`` when it is not there.

    The directory appears whole or not at all: ``build`` fills a sibling that is renamed at the end. What a run that was
    killed has left of such siblings goes first.

    Raises:
        Exception: whatever ``build`` raises; nothing is left behind then.
    """
    target = cache_dir() / kind / key
    with locked(target):
        if target.is_dir():
            return target
        for left in target.parent.glob(f".{key}-*"):
            shutil.rmtree(left, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=target.parent))
        try:
            work.chmod(0o755)
            build(work)
            work.rename(target)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    return target
