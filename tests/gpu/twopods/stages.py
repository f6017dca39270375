"""Where the time of a start goes, as the pods' logs show it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STAGES: Mapping[str, str] = {
    "vllm serve": r"vllm-multinode: exec vllm serve",
    "API server's first line": r"\(APIServer pid=\d+\)",
    "engine core's first line": r"\(EngineCore\S* pid=\d+\)",
    "rank's first line": r"\(Worker\S* pid=\d+\)",
    "process group": r"world_size=\d+ rank=\d+",
    "weights begin": r"Loading model from scratch|Starting to load model",
    "weights": r"Model loading took|Loading weights took",
    "compiled": r"torch\.compile took",
    "memory measured": r"Available KV cache memory",
    "KV cache": r"GPU KV cache size|CPU KV cache size",
    "graphs": r"Graph capturing finished",
    "engine": r"init engine \(",
    "server": r"Application startup complete",
}
"""Stage -> a line of vLLM 0.32 or 0.33; of several such lines the first, but for graphs and weights the last."""
LAST = ("graphs", "weights")


def stages(lines: Sequence[tuple[float, str]], begin: float) -> dict[str, float]:
    """Return when each stage was reached, in seconds since a moment.

    Args:
        lines: (seconds of the monotonic clock, text).
        begin: the moment.
    """
    found: dict[str, float] = {}
    for at, text in lines:
        for name, pattern in STAGES.items():
            if (name not in found or name in LAST) and re.search(pattern, text):
                found[name] = round(at - begin, 1)
    return dict(sorted(found.items(), key=lambda item: item[1]))


def written_files(folder: Path, since: float) -> dict[str, Any]:
    """Return the files of a cache that were written since a moment: how many in which directories, and some names.

    Args:
        folder: the cache.
        since: seconds of the wall clock.
    """
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    names: list[str] = []
    for place, _, files in os.walk(folder):
        for name in files:
            file = Path(place, name)
            try:
                status = file.lstat()
            except OSError:
                continue
            if status.st_mtime < since and status.st_ctime < since:
                continue
            inside = file.relative_to(folder)
            top = "/".join(inside.parts[:2])
            counts[top] += 1
            sizes[top] += status.st_size
            if len(names) < 60:
                names.append(str(inside))
    return {top: {"files": counts[top], "kb": sizes[top] // 1000} for top in sorted(counts)} | {"names": names}


def narration(lines: Sequence[tuple[float, str]], begin: float) -> dict[str, Any]:
    """Return what PID 1 said, how much was printed, and how many stack traces were in it."""
    own = [f"{at - begin:.1f} s: {text[:500]}" for at, text in lines if text.startswith("vllm-multinode:")]
    return {
        "pid1": own,
        "kb": round(sum(len(text) + 1 for _, text in lines) / 1000, 1),
        "stack_traces": sum("Traceback (most recent call last)" in text for _, text in lines),
    }
