"""What the probes of this pod, its preStop hook, Kubernetes, and the log learn of a restart in place."""

from __future__ import annotations

import math
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

from agreement import LOST_RANK

KV_CACHE = re.compile(rb"Current kv cache memory in use is (\d+\.\d+) GiB")
"""What each rank says at the end of its start if it has measured its memory (vLLM 0.32 and 0.33, gpu_worker.py)."""
ROUNDED = 0.005
"""GiB by which that number can be too small. A context that just fits needs all of it."""
RUN = "vllm-multinode-run-"
"""Start of the names of entrypoint.sh's temporary files (temporary_file in common.sh); the run's number follows."""


def say(text: str) -> None:
    """Print a line without buffering."""
    print(f"vllm-multinode: {text}", file=sys.stderr, flush=True)


class PodFiles:
    """The files of a pod."""

    def __init__(self, env: dict[str, str]) -> None:
        """Find them as the pod's scripts do."""
        self.temporary = Path(env.get("TMPDIR", "/tmp"))
        self.leader = self.temporary / "vllm-multinode-leader"
        self._message = Path(env.get("TERMINATION_LOG", "/dev/termination-log"))
        self._until = self.temporary / "vllm-multinode-restart-until"
        self._port = self.temporary / "vllm-multinode-restart-port"
        self._kv_cache = self.temporary / "vllm-multinode-kv-cache-bytes"
        self.serving()

    def restarting(self, seconds: float) -> None:
        """Tell the probes that a restart goes on, and how long it may take."""
        if not self._until.exists():
            self._write(self._until, f"{time.time() + seconds:.0f}")

    def serving(self) -> None:
        """Tell the probes that no restart goes on."""
        self._until.unlink(missing_ok=True)

    def begin(self, run: int, port: int, kv_cache: int | None = None) -> None:
        """Tell a worker's probe where the ranks of a run meet, and leave nothing of earlier runs and containers.

        Args:
            run: its number.
            port: of the leader.
            kv_cache: bytes of each rank for the KV cache, for start.sh, None if vLLM measures its memory.
        """
        self._write(self._port, str(port))
        self._kv_cache.unlink(missing_ok=True)
        if kv_cache is not None:
            self._write(self._kv_cache, str(kv_cache))
        for file in self.temporary.glob(f"{RUN}*"):  # of entrypoint.sh: its log has been kept
            if run == 0 or not file.name.startswith(f"{RUN}{run}."):
                file.unlink(missing_ok=True)
        self.explain("")

    def kv_cache_bytes(self) -> int | None:
        """Return the memory of each rank of this run for the KV cache, None if none says so, or they differ."""
        files = [file for file in self.temporary.glob(f"{RUN}*") if file.is_file()]
        sizes = {size for file in files for size in KV_CACHE.findall(file.read_bytes())}
        return math.ceil((float(sizes.pop()) + ROUNDED) * 2**30) if len(sizes) == 1 else None

    def explain(self, text: str) -> None:
        """Write the termination message."""
        with suppress(OSError):
            self._message.write_text(text, encoding="utf-8")

    def reason(self) -> str:
        """Return the first line of the termination message, and one error of the log that it does not contain.

        It is that of a rank that died, otherwise the first one.
        """
        with suppress(OSError):
            text, _, _ = self._message.read_text(encoding="utf-8", errors="replace").partition("\n...\n")
            first, *errors = text.splitlines() or [""]
            told = first.rpartition("; error: ")[2]
            errors = sorted(
                (error for error in errors if error and told not in error), key=lambda one: LOST_RANK not in one
            )
            return "; ".join([first, *errors[:1]])
        return ""

    @staticmethod
    def _write(file: Path, text: str) -> None:
        """Write a file at once, so that a probe never reads a part."""
        new = file.with_name(f"{file.name}.new")
        new.write_text(text, encoding="ascii")
        new.replace(file)
