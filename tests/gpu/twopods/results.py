"""What a run leaves: results, logs that are cut to a bounded size, and objects for ``vmn doctor``."""

from __future__ import annotations

import gzip
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu.twopods.container import Container
from gpu.twopods.group import Group

HEAD_LINES, TAIL_LINES = 400, 300
LINE = 1500
"""Characters of a line in the cut logs."""
LOGS_LIMIT, WHOLE_LIMIT = 4_000_000, 6_000_000
"""Bytes of the cut logs and of the compressed whole ones; $OUT brings 16 MiB back."""
NOISE = re.compile(
    r'"(GET|POST) /\S* HTTP|Route: /|it/s\]|s/it\]|NCCL INFO (?!.*(NET/|via |nNodes|Init COMPLETE|Using ))'
)
"""Lines that the cut logs leave out: access, routes, progress bars, and of NCCL all but the transports."""


@dataclass
class Results:
    """Files of a run. Each is whole at any time: what is there when a run is killed can be read.

    Attributes:
        folder: where they are.
        content: of ``results.json``.
    """

    folder: Path
    content: dict[str, Any] = field(default_factory=dict)
    _logs: int = 0
    _whole: int = 0

    def __post_init__(self) -> None:
        """Make the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.begun = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line, and keep it."""
        line = f"[{time.monotonic() - self.begun:6.1f} s] {text}"
        print(line, flush=True)
        with (self.folder / "progress.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def save(self) -> None:
        """Write ``results.json``."""
        new = self.folder / ".results.json"
        new.write_text(json.dumps(self.content, indent=1, default=str) + "\n", encoding="utf-8")
        new.replace(self.folder / "results.json")

    def keep_objects(self, entry: dict[str, Any]) -> None:
        """Add what ``vmn doctor`` would read: one line of JSON."""
        with (self.folder / "objects.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def keep_logs(self, title: str, group: Group) -> None:
        """Add the logs of a group's pods: cut ones to ``logs.txt``, whole ones to ``logs.gz`` while there is room."""
        for container in group.containers:
            name = f"{title}: {container.pod.name}"
            self._keep_cut(name, container)
            packed = gzip.compress(f"=== {name}\n{container.log.text()}\n".encode())
            if self._whole + len(packed) < WHOLE_LIMIT:
                self._whole += len(packed)
                with (self.folder / "logs.gz").open("ab") as file:  # members of gzip may follow one another
                    file.write(packed)

    def _keep_cut(self, name: str, container: Container) -> None:
        text = f"=== {name}\n{cut(container.log.text())}\n"
        if self._logs + len(text) < LOGS_LIMIT:
            self._logs += len(text)
            with (self.folder / "logs.txt").open("a", encoding="utf-8") as file:
                file.write(text)


def cut(text: str) -> str:
    """Return the first and the last lines of a log, without noise, each of a bounded length."""
    lines = [line[:LINE] for line in text.splitlines() if not NOISE.search(line)]
    if len(lines) > HEAD_LINES + TAIL_LINES:
        left_out = f"… {len(lines) - HEAD_LINES - TAIL_LINES} lines …"
        lines = [*lines[:HEAD_LINES], left_out, *lines[-TAIL_LINES:]]
    return "\n".join(lines)
