"""What a pod that restarts in place reads from the termination message of the run before."""

from __future__ import annotations

from pathlib import Path

import pytest

from state import PodFiles

ENDED = "vllm serve ended with exit status 137 after 64 s (served: yes)"
PEER = "a pod of this group has closed its connection to port 29501: its vLLM has ended"
DEAD = "EngineDeadError: EngineCore encountered an issue."
DIED = "(MainProcess pid=9) ERROR 11-29 15:24:24 Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (f"{ENDED}\n{DEAD}\n...\nlast words\n", f"{ENDED}; {DEAD}"),
        (f"{ENDED}; error: {PEER}\nvllm-multinode: error: {PEER}\n...\n", f"{ENDED}; error: {PEER}"),
        (f"{ENDED}; error: {PEER}\nvllm-multinode: error: {PEER}\n{DEAD}\n...\n", f"{ENDED}; error: {PEER}; {DEAD}"),
        (f"{ENDED}; error: {PEER}\n{DEAD}\n{DIED}\n...\n", f"{ENDED}; error: {PEER}; {DIED}"),
        (f"{ENDED}\n\n...\nlast words\n", ENDED),
        ("", ""),
    ],
    ids=["an error", "only saw another pod end", "saw it, and has an error", "a rank died", "no error", "nothing"],
)
def test_reason_is_the_first_line_with_an_error_that_it_does_not_contain(
    tmp_path: Path, message: str, reason: str
) -> None:
    file = tmp_path / "termination-log"
    file.write_text(message, encoding="utf-8")
    assert PodFiles({"TMPDIR": str(tmp_path), "TERMINATION_LOG": str(file)}).reason() == reason
