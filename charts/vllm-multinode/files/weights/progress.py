"""Lines about the progress, for the log and for pods that wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from folder import STATUS, DownloadSpec, gib, say, size_of, write
from hub import TEMPORARY, File


class Progress:
    """Logs at intervals how far a download is."""

    def __init__(self, spec: DownloadSpec, files: Iterable[File]) -> None:
        """Measure what exists already."""
        self.spec = spec
        self.sizes = {file.name: file.size or 0 for file in files}
        self.total = sum(self.sizes.values())
        self.finished: set[str] = set()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._tell, daemon=True)
        self.begun, self.before = time.monotonic(), self._there()

    def __enter__(self) -> Progress:
        """Start to log."""
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        """Log a last line."""
        self.over.set()
        self.thread.join()
        say(self._line())

    def done(self, name: str) -> None:
        """Count a file that is complete and verified."""
        self.finished.add(name)

    def _tell(self) -> None:
        while True:
            line = self._line()
            say(line)
            try:
                write(self.spec.path / STATUS, line)
            except OSError as error:  # if the disk is full, the download itself reports it
                say(f"the progress can't be stored on the volume: {error.strerror}")
            if self.over.wait(self.spec.tick):
                return

    def _line(self) -> str:
        there = self._there()
        rate = (there - self.before) / max(time.monotonic() - self.begun, 0.001)
        left = f", {(self.total - there) / rate / 60:.0f} min left" if rate > 0 and there < self.total else ""
        return (
            f"downloading: {len(self.finished)} of {len(self.sizes)} files checked, "
            f"{gib(there)} of {gib(self.total)} there, {gib(rate)}/s{left}"
        )

    def _there(self) -> int:
        """Return bytes on the disk, of complete files and of parts."""
        parts = sum(map(_blocks, (self.spec.path / TEMPORARY).rglob("*.incomplete")))
        files = sum(min(size_of(self.spec.path / name) or 0, size) for name, size in self.sizes.items())
        return min(self.total, parts + files)


def _blocks(file: Path) -> int:
    """Return how many bytes of a file are written. Its length may have been set before."""
    try:
        state = file.stat()
    except OSError:  # it was renamed in the meantime
        return 0
    return min(state.st_blocks * 512, state.st_size)
