"""The directory of a checkpoint: what to download to it, whether it is complete, and which pod fills it."""

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
from typing import Any

MARKER = ".vllm-multinode.json"
"""Written last. It lists all downloaded files."""
STATUS = ".vllm-multinode.status"
"""Holds one line about the progress, for pods that wait."""
LOCK = ".vllm-multinode.lock"
FAILED = "failed: "
SHORTEST_PAUSE = 5
"""Seconds between two attempts in the same container."""


class DownloadError(Exception):
    """What is wrong, why, and what to do. A retry does not help."""


@dataclass(frozen=True)
class DownloadSpec:
    """What to download, as the chart says.

    Attributes:
        model: repository on the Hub.
        revision: branch, tag, or commit.
        path: directory of the checkpoint.
        exclude: patterns of files to leave out; None leaves out the formats that vLLM does not read.
        hashes: compare each file with the Hub's hash, not only with its size.
        seconds: time until the download must be complete.
        backoff: seconds from a failure until the container exits.
        tick: seconds between two lines about the progress.
        stays: try again in the same container after a failure, instead of exiting: for a pod of a group, as
            LeaderWorkerSet recreates a group in which a container has restarted.
    """

    model: str
    revision: str
    path: Path
    exclude: list[str] | None
    hashes: bool
    seconds: float
    backoff: float
    tick: float = 30
    stays: bool = False

    @property
    def name(self) -> str:
        """The model and its revision, as text."""
        return f"{self.model} at {self.revision}"

    @classmethod
    def read(cls) -> DownloadSpec:
        """Return the JSON object in MULTINODE_WEIGHTS."""
        given: dict[str, Any] = json.loads(os.environ["MULTINODE_WEIGHTS"])
        return cls(**{**given, "path": Path(given["path"])})


def say(text: str) -> None:
    """Print a line without buffering."""
    print(f"vllm-multinode: {text}", file=sys.stderr, flush=True)


def gib(size: float) -> str:
    """Return a number of bytes in GiB, or in MiB if it is small."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def write(path: Path, text: str) -> None:
    """Replace a file atomically, so that readers never see a part of it."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def read(path: Path) -> str:
    """Return a file's text, or nothing if it can't be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def is_complete(spec: DownloadSpec) -> bool:
    """Return whether the directory holds the complete model.

    Raises:
        DownloadError: it holds another model or revision, or its marker can't be read.
    """
    text = read(spec.path / MARKER)
    if not text:
        return False
    try:
        marker: Mapping[str, Any] = json.loads(text)
        there, commit = f"{marker['model']} at {marker['revision']}", marker["commit"]
        sizes: Mapping[str, int] = dict(marker["files"])
    except (ValueError, KeyError, TypeError) as error:
        place = spec.path / MARKER
        raise DownloadError(
            f"{place} can't be read ({error!r}). Delete it: the files are then checked again."
        ) from error
    if marker["model"] != spec.model or spec.revision not in (marker["revision"], commit):
        raise DownloadError(
            f"{spec.path} holds {there}, and {spec.name} is asked for: pods may still read it. Give each revision a "
            f"directory of its own: leave weights.path unset, or set it to another."
        )
    torn = torn_files(spec.path, sizes)
    if torn:
        say(f"{spec.path} was complete, and now {len(torn)} of {len(sizes)} files are not: {', '.join(torn[:5])}")
        return False
    say(f"{spec.path} is complete: {there}, commit {commit}, {len(sizes)} files, {gib(sum(sizes.values()))}")
    return True


def torn_files(path: Path, sizes: Mapping[str, int]) -> list[str]:
    """Return the files that are missing or have another size."""
    return [name for name, size in sizes.items() if size_of(path / name) != size]


def size_of(file: Path) -> int | None:
    """Return a file's size in bytes, or None if it does not exist."""
    try:
        return file.stat().st_size
    except OSError:
        return None


@contextmanager
def locked(spec: DownloadSpec) -> Iterator[None]:
    """Hold the lock of the directory, so that one process fills it. The lock ends with the process.

    Raises:
        DownloadError: the directory can't be written, or another process holds the lock until the timeout.
    """
    user = os.getuid()
    try:
        spec.path.mkdir(parents=True, exist_ok=True)
        handle = (spec.path / LOCK).open("a")
    except OSError as error:
        raise DownloadError(
            f"{spec.path} can't be written by user {user}: {error.strerror}. Make it writable for security.userId: "
            f"`chown {user}` the directory of weights.volume.hostPath on each node; a claim needs ReadWriteMany."
        ) from error
    with handle:
        wait_for(spec, lambda: _lock(handle.fileno()), "another pod fills it")
        yield


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        say(f"this filesystem does not support locks ({error.strerror}): make sure that only one pod fills it")
    return True


def wait_for(spec: DownloadSpec, over: Callable[[], bool], why: str) -> None:
    """Wait until `over` returns true, and log every minute what for.

    Raises:
        DownloadError: the timeout has passed.
    """
    begun = time.monotonic()
    said: float | None = None
    while not over():
        status, now = read(spec.path / STATUS), time.monotonic()
        if now >= begun + spec.seconds:
            raise DownloadError(
                f"{spec.path} is not complete after {spec.seconds:.0f} s (weights.download.timeoutSeconds): "
                f"{status or 'no pod has started to fill it'}. Read the log of the download: the Job's, or that of the "
                f"other pod of this node."
            )
        if said is None or now - said >= 2 * spec.tick:
            say(f"waiting for {spec.path}: {why}: {status or 'no progress is known yet'}")
            said = now
        time.sleep(min(5, spec.tick))


def run(spec: DownloadSpec, work: Callable[[], object], *, note: bool) -> None:
    """Do the work. After a failure, log what is wrong, pause, and try again or exit, as ``spec.stays`` says.

    Args:
        spec: what to download.
        work: what to do; it raises a DownloadError if it fails.
        note: also store a failure for the pods that wait.
    """
    while True:
        try:
            work()
            return
        except DownloadError as error:
            if note and spec.path.is_dir():
                _store(spec, error)
            say(f"error: {error}")
        if not spec.stays:
            say(f"the container ends in {spec.backoff:.0f} s (startup.backoffSeconds), and is restarted later")
            time.sleep(spec.backoff)
            sys.exit(1)
        pause = max(spec.backoff, SHORTEST_PAUSE)
        say(f"the next attempt starts in {pause:.0f} s; a corrected Secret is read after you delete the pod")
        time.sleep(pause)


def _store(spec: DownloadSpec, problem: DownloadError) -> None:
    try:
        write(spec.path / STATUS, f"{FAILED}{problem}")
    except OSError as error:
        say(f"the reason can't be stored on the volume: {error.strerror}")
