"""Download a model from the Hugging Face Hub to a directory, once, with checks, and with the progress in the log.

The script runs in vLLM's image with its huggingface_hub (1.31 or newer), which downloads a file under a temporary name
and then renames it. An interrupted download therefore continues with the files that are still missing.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from checks import check, index_problem
from folder import (
    MARKER,
    STATUS,
    DownloadError,
    DownloadSpec,
    gib,
    is_complete,
    locked,
    run,
    say,
    torn_files,
    write,
)
from hub import TEMPORARY, File, Hub, HubSnapshot, Unreachable
from progress import Progress

AT_ONCE = 8
"""Number of files in parallel, as in huggingface_hub's own snapshot_download."""
PAUSES = (5, 15, 60, 120, 300)
"""Seconds before the next attempts. The last one repeats."""
LEFT_OVER = re.compile(r"\.[0-9a-f]{8}\.incomplete$")
"""Temporary files of a killed download, which huggingface_hub 2 never continues."""
JOURNAL = ".vllm-multinode.checked"
"""Lists verified files with size and modification time, so that they are not read again after an interruption."""


class Filling:
    """A download of one model to one directory."""

    def __init__(self, spec: DownloadSpec) -> None:
        """Start with nothing downloaded."""
        self.spec = spec
        self.hub = Hub(spec)
        self.journal = spec.path / JOURNAL
        self.checked: set[str] = set()

    def run(self) -> None:
        """Download until all files are complete, and retry after errors of the network until the timeout.

        Raises:
            DownloadError: a retry does not help, or the timeout has passed.
        """
        deadline, tries = time.monotonic() + self.spec.seconds, 0
        while True:
            try:
                return self._once()
            except Unreachable as error:
                pause = PAUSES[min(tries, len(PAUSES) - 1)]
                tries += 1
                if time.monotonic() + pause >= deadline:
                    raise DownloadError(
                        f"{self.spec.name} is not complete after {self.spec.seconds:.0f} s "
                        f"(weights.download.timeoutSeconds). The last error, which may be temporary: {error}"
                    ) from error
                text = f"attempt {tries} failed: {error}; the next one starts in {pause} s"
                say(text)
                write(self.spec.path / STATUS, text)
                time.sleep(pause)

    def _once(self) -> None:
        snapshot = self.hub.snapshot()
        self._clean()
        self.checked = set(self.journal.read_text(encoding="utf-8").splitlines()) if self.journal.is_file() else set()
        files = snapshot.files
        say(f"{self.spec.name} is commit {snapshot.commit}: {len(files)} files, {gib(snapshot.size)}")
        if snapshot.left_out:
            say(f"left out: {', '.join(snapshot.left_out[:8])}{' …' if len(snapshot.left_out) > 8 else ''}")
        self._make_room(files)
        with Progress(self.spec, files) as progress:
            self._all(files, snapshot, progress)
        if problem := index_problem(self.spec.path, [file.name for file in files]):
            raise DownloadError(problem)
        self._mark(snapshot)

    def _clean(self) -> None:
        for file in (self.spec.path / TEMPORARY).rglob("*.incomplete"):
            if LEFT_OVER.search(file.name):
                file.unlink(missing_ok=True)

    def _make_room(self, files: Iterable[File]) -> None:
        """Check that the volume has room, before a download of hours.

        Raises:
            DownloadError: it does not.
        """
        sizes = {file.name: file.size for file in files if file.size is not None}
        needed = sum(sizes[name] for name in torn_files(self.spec.path, sizes))
        room = os.statvfs(self.spec.path)
        free = room.f_bavail * room.f_frsize
        if needed > free:
            raise DownloadError(
                f"the volume at {self.spec.path} has {gib(free)} free, and {gib(needed)} are still to come. Make it "
                f"larger (weights.volume.size of a claim that the chart makes), or delete what is not needed there."
            )

    def _all(self, files: Iterable[File], snapshot: HubSnapshot, progress: Progress) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            jobs = [pool.submit(self._file, file, snapshot, progress) for file in files]
            done, left = wait(jobs, return_when=FIRST_EXCEPTION)
            for job in left:
                job.cancel()
            for job in done:
                job.result()

    def _file(self, file: File, snapshot: HubSnapshot, progress: Progress) -> None:
        """Download and check one file, and do so a second time if it differs from what the Hub says.

        Raises:
            DownloadError: it differs both times, or a retry does not help.
            Unreachable: the Hub does not respond.
        """
        wrong: str | None = None
        for again in (False, True):
            path = self.hub.download(file, snapshot.commit, force=again)
            state = path.stat()
            line = f"{file.name} {state.st_size} {state.st_mtime_ns} {file.sha256 or file.blob}"
            wrong = None if line in self.checked else check(path, file, hashes=self.spec.hashes)
            if wrong is None:
                with self.journal.open("a", encoding="utf-8") as journal:
                    journal.write(f"{line}\n")
                progress.done(file.name)
                return
            say(f"{file.name} {wrong}{'' if again else ': downloading it again'}")
        raise DownloadError(
            f"{file.name} {wrong}, twice. A proxy or mirror changes it on the way, or the disk is faulty: check "
            f"weights.endpoint and the proxy, and look for disk errors in the node's log."
        )

    def _mark(self, snapshot: HubSnapshot) -> None:
        sizes = {file.name: (self.spec.path / file.name).stat().st_size for file in snapshot.files}
        write(self.spec.path / MARKER, snapshot.marker(sizes))
        self.journal.unlink(missing_ok=True)
        (self.spec.path / STATUS).unlink(missing_ok=True)


def main() -> None:
    """Fill the directory that MULTINODE_WEIGHTS names."""
    spec = DownloadSpec.read()

    def fill() -> None:
        with locked(spec):
            if not is_complete(spec):
                Filling(spec).run()
                is_complete(spec)

    run(spec, fill, note=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))  # otherwise threads continue to download
    main()
