"""Fill a folder with a model of the Hugging Face hub: once, resumable, checked, and with its progress in the log.

Runs in vLLM's image with its huggingface_hub (1.31 or newer), which downloads a file under another name and renames it:
what was interrupted begins again with the files that are not there yet.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from checks import check, index_problem
from folder import MARKER, STATUS, Asked, Problem, gib, give_up, is_complete, locked, say, torn_files, write
from hub import TEMPORARY, File, Hub, Snapshot, Unreachable
from progress import Progress

AT_ONCE = 8
"""Files: what huggingface_hub's own snapshot_download takes."""
PAUSES = (5, 15, 60, 120, 300)
"""Seconds before the next try, the last one again and again."""
LEFT_OVER = re.compile(r"\.[0-9a-f]{8}\.incomplete$")
"""Temporary files that huggingface_hub 2 never takes up again: a killed download leaves them on the disk."""
JOURNAL = ".vllm-multinode.checked"
"""Files that were compared with their hashes, with size and time of change: not read again after an interruption."""


class Filling:
    """One model into one folder."""

    def __init__(self, asked: Asked) -> None:
        """Keep what is asked for."""
        self.asked = asked
        self.hub = Hub(asked)
        self.journal = asked.path / JOURNAL
        self.checked: set[str] = set()

    def run(self) -> None:
        """Download until all is there: the network's errors are tried again until the time is over.

        Raises:
            Problem: trying again does not help, or the time is over.
        """
        deadline, tries = time.monotonic() + self.asked.seconds, 0
        while True:
            try:
                return self._once()
            except Unreachable as error:
                pause = PAUSES[min(tries, len(PAUSES) - 1)]
                tries += 1
                if time.monotonic() + pause >= deadline:
                    raise Problem(
                        f"{self.asked.name} is not complete after {self.asked.seconds:.0f} s "
                        f"(weights.download.timeoutSeconds). The last error, which may pass: {error}"
                    ) from error
                text = f"try {tries} failed: {error}; the next one in {pause} s"
                say(text)
                write(self.asked.path / STATUS, text)
                time.sleep(pause)

    def _once(self) -> None:
        snapshot = self.hub.snapshot()
        self._clean()
        self.checked = set(self.journal.read_text(encoding="utf-8").splitlines()) if self.journal.is_file() else set()
        files = snapshot.files
        say(f"{self.asked.name} is commit {snapshot.commit}: {len(files)} files, {gib(snapshot.size)}")
        if snapshot.left_out:
            say(f"left out: {', '.join(snapshot.left_out[:8])}{' …' if len(snapshot.left_out) > 8 else ''}")
        self._make_room(files)
        with Progress(self.asked, files) as progress:
            self._all(files, snapshot, progress)
        if problem := index_problem(self.asked.path, [file.name for file in files]):
            raise Problem(problem)
        self._mark(snapshot)

    def _clean(self) -> None:
        for file in (self.asked.path / TEMPORARY).rglob("*.incomplete"):
            if LEFT_OVER.search(file.name):
                file.unlink(missing_ok=True)

    def _make_room(self, files: Iterable[File]) -> None:
        """Check that the volume has room before hours of download.

        Raises:
            Problem: it has not.
        """
        sizes = {file.name: file.size for file in files if file.size is not None}
        needed = sum(sizes[name] for name in torn_files(self.asked.path, sizes))
        room = os.statvfs(self.asked.path)
        free = room.f_bavail * room.f_frsize
        if needed > free:
            raise Problem(
                f"the volume at {self.asked.path} has {gib(free)} free, and {gib(needed)} are still to come. Make it "
                f"larger (weights.volume.size of a claim that the chart makes), or delete what is not needed there."
            )

    def _all(self, files: Iterable[File], snapshot: Snapshot, progress: Progress) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            jobs = [pool.submit(self._file, file, snapshot, progress) for file in files]
            done, left = wait(jobs, return_when=FIRST_EXCEPTION)
            for job in left:
                job.cancel()
            for job in done:
                job.result()

    def _file(self, file: File, snapshot: Snapshot, progress: Progress) -> None:
        """Download and check one file, a second time when the first one is not what the hub says.

        Raises:
            Problem: it is wrong both times, or trying again does not help.
            Unreachable: the hub does not answer.
        """
        wrong: str | None = None
        for again in (False, True):
            path = self.hub.download(file, snapshot.commit, force=again)
            state = path.stat()
            line = f"{file.name} {state.st_size} {state.st_mtime_ns} {file.sha256 or file.blob}"
            wrong = None if line in self.checked else check(path, file, hashes=self.asked.hashes)
            if wrong is None:
                with self.journal.open("a", encoding="utf-8") as journal:
                    journal.write(f"{line}\n")
                progress.done(file.name)
                return
            say(f"{file.name} {wrong}{'' if again else ': downloading it again'}")
        raise Problem(
            f"{file.name} {wrong}, twice. Somebody between here and the hub changes it, or the disk does: look at the "
            f"proxy or mirror (weights.endpoint), and at the node's log for errors of the disk."
        )

    def _mark(self, snapshot: Snapshot) -> None:
        sizes = {file.name: (self.asked.path / file.name).stat().st_size for file in snapshot.files}
        write(self.asked.path / MARKER, snapshot.marker(sizes))
        self.journal.unlink(missing_ok=True)
        (self.asked.path / STATUS).unlink(missing_ok=True)


def main() -> None:
    """Fill the folder that MULTINODE_WEIGHTS asks for."""
    asked = Asked.read()
    try:
        with locked(asked):
            if not is_complete(asked):
                Filling(asked).run()
                is_complete(asked)
    except Problem as problem:
        give_up(asked, problem, note=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))  # threads would go on downloading
    main()
