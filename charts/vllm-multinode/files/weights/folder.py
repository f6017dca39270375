"""The folder of a checkpoint: what is asked for it, whether it is complete, who fills it, and what went wrong."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

MARKER = ".vllm-multinode.json"
"""Written last: what was downloaded, file by file."""
STATUS = ".vllm-multinode.status"
"""One line of whoever downloads, for those who wait."""
LOCK = ".vllm-multinode.lock"
FAILED = "failed: "


class Problem(Exception):  # noqa: N818 - reads as what happened
    """What is wrong, why, and what to do; trying again does not help."""


@dataclass(frozen=True)
class Asked:
    """What the chart asks for.

    Attributes:
        model: repository on the hub.
        revision: branch, tag or commit.
        path: the checkpoint's folder.
        exclude: patterns of files to leave out; None leaves out the formats that vLLM does not read.
        hashes: compare every file with the hub's hash, not only its size.
        seconds: until it must be complete.
        backoff: seconds from a failure to the end of the container.
        tick: seconds between two lines of progress.
    """

    model: str
    revision: str
    path: Path
    exclude: list[str] | None
    hashes: bool
    seconds: float
    backoff: float
    tick: float = 30

    @property
    def name(self) -> str:
        """The model and its revision, for people."""
        return f"{self.model} at {self.revision}"

    @classmethod
    def read(cls) -> Asked:
        """Return what MULTINODE_WEIGHTS says, a JSON object."""
        given: dict[str, Any] = json.loads(os.environ["MULTINODE_WEIGHTS"])
        return cls(**{**given, "path": Path(given["path"])})


def say(text: str) -> None:
    """Print a line, at once."""
    print(f"vllm-multinode: {text}", file=sys.stderr, flush=True)


def gib(size: float) -> str:
    """Return a number of bytes in GiB, or in MiB when it is small."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def write(path: Path, text: str) -> None:
    """Replace a file in one step: nobody reads a half of it."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def read(path: Path) -> str:
    """Return a file's text, nothing when there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def is_complete(asked: Asked) -> bool:
    """Return whether the folder holds what is asked for.

    Raises:
        Problem: it holds another model or revision, or its marker can't be read.
    """
    text = read(asked.path / MARKER)
    if not text:
        return False
    try:
        marker: Mapping[str, Any] = json.loads(text)
        there, commit = f"{marker['model']} at {marker['revision']}", marker["commit"]
        sizes: Mapping[str, int] = dict(marker["files"])
    except (ValueError, KeyError, TypeError) as error:
        place = asked.path / MARKER
        raise Problem(f"{place} can't be read ({error!r}). Delete it: the files are then checked again.") from error
    if marker["model"] != asked.model or asked.revision not in (marker["revision"], commit):
        raise Problem(
            f"{asked.path} holds {there}, and {asked.name} is asked for: pods may still read it. Give each revision a "
            f"folder of its own: leave weights.path unset, or set it to another."
        )
    torn = torn_files(asked.path, sizes)
    if torn:
        say(f"{asked.path} was complete, and now {len(torn)} of {len(sizes)} files are not: {', '.join(torn[:5])}")
        return False
    say(f"{asked.path} is complete: {there}, commit {commit}, {len(sizes)} files, {gib(sum(sizes.values()))}")
    return True


def torn_files(path: Path, sizes: Mapping[str, int]) -> list[str]:
    """Return the files that are missing or have another size."""
    return [name for name, size in sizes.items() if size_of(path / name) != size]


def size_of(file: Path) -> int | None:
    """Return a file's bytes, None when it is not there."""
    try:
        return file.stat().st_size
    except OSError:
        return None


@contextmanager
def locked(asked: Asked) -> Iterator[None]:
    """Be the only one that fills the folder: the lock goes with the process, however it ends.

    Raises:
        Problem: the folder can't be written, or another one has the lock until the time is over.
    """
    user = os.getuid()
    try:
        asked.path.mkdir(parents=True, exist_ok=True)
        handle = (asked.path / LOCK).open("a")
    except OSError as error:
        raise Problem(
            f"{asked.path} can't be written by user {user}: {error.strerror}. Make it writable for security.userId: "
            f"`chown {user}` the folder of weights.volume.hostPath on each node; a claim needs ReadWriteMany."
        ) from error
    with handle:
        wait_for(asked, lambda: _lock(handle.fileno()), "another pod fills it")
        yield


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        say(f"this file system has no locks ({error.strerror}): only one pod may fill it")
    return True


def wait_for(asked: Asked, over: Callable[[], bool], why: str) -> None:
    """Wait, and say every minute for what.

    Raises:
        Problem: it is not over in time.
    """
    begun = time.monotonic()
    said: float | None = None
    while not over():
        status, now = read(asked.path / STATUS), time.monotonic()
        if now >= begun + asked.seconds:
            raise Problem(
                f"{asked.path} is not complete after {asked.seconds:.0f} s (weights.download.timeoutSeconds): "
                f"{status or 'nobody has begun to fill it'}. Read the log of the download: the Job's, or that of the "
                f"other pod of this node."
            )
        if said is None or now - said >= 2 * asked.tick:
            say(f"waiting for {asked.path}: {why}: {status or 'no word of it yet'}")
            said = now
        time.sleep(min(5, asked.tick))


def give_up(asked: Asked, problem: Problem, *, note: bool) -> NoReturn:
    """Say what is wrong and end later: a container that ends at once is started at once.

    Args:
        asked: what was asked for.
        problem: what is wrong.
        note: leave it for those who wait.
    """
    if note and asked.path.is_dir():
        try:
            write(asked.path / STATUS, f"{FAILED}{problem}")
        except OSError as error:
            say(f"the reason can't be left on the volume: {error.strerror}")
    say(f"error: {problem}")
    say(f"the container ends in {asked.backoff:.0f} s (startup.backoffSeconds), and is started again later")
    time.sleep(asked.backoff)
    sys.exit(1)
