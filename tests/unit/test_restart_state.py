"""What a pod that restarts in place reads from the termination message and the log of the run before."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from kit.paths import CHECKOUT
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


@pytest.mark.parametrize(
    ("log", "size"),
    [("h100-llama-8b.log", 56.51), ("dsr1-32L-tp2-pp2.log", None)],
    ids=["one rank", "stages of 50.0 and 34.52 GiB"],
)
def test_size_of_the_kv_cache_is_that_of_all_ranks_of_a_real_log(tmp_path: Path, log: str, size: float | None) -> None:
    text = (CHECKOUT / "tests/unit/planning_data/logs" / log).read_bytes()
    tmp_path.joinpath("vllm-multinode-run-0.abcdefgh").write_bytes(text)
    found = PodFiles({"TMPDIR": str(tmp_path)}).kv_cache_bytes()
    assert found == (size and math.ceil((size + 0.005) * 2**30))


def test_size_of_the_kv_cache_is_passed_on_to_one_run_only(tmp_path: Path) -> None:
    files = PodFiles({"TMPDIR": str(tmp_path), "TERMINATION_LOG": str(tmp_path / "termination-log")})
    passed = tmp_path / "vllm-multinode-kv-cache-bytes"
    files.begin(1, 29502, 5)
    assert passed.read_text() == "5"
    files.begin(0, 29501)
    assert not passed.exists()
