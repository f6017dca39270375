"""The filter that leaves out of vLLM's log what a dead engine tells every request, as the process that it is."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from kit.paths import CHART

SCRIPT = CHART / "files" / "engine" / "once.py"
FRAMES = 9
"""Lines by which vLLM's stack trace grows with each request."""
FIRST = "Error in completion stream generator."
DEAD = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue."


def record(frames: int, last: str = DEAD, *, first: str = FIRST, place: str = "serving.py:555", second: int = 0) -> str:
    """Return an error with a stack trace as vLLM's API server logs it."""
    texts = [first, "Traceback (most recent call last):", *(f'  File "a.py", line {n}' for n in range(frames)), last]
    return "".join(f"(APIServer pid=15) ERROR 11-29 07:40:{second:02} [{place}] {text}\n" for text in texts)


def filtered(text: str) -> str:
    """Return what the filter makes of a log."""
    done = subprocess.run([sys.executable, "-I", SCRIPT], input=text.encode(), capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@contextmanager
def running() -> Iterator[subprocess.Popen[bytes]]:
    """Run the filter."""
    process = subprocess.Popen([sys.executable, "-I", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        yield process
        process.kill()


def read(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """Return what the filter has passed on once something has come, nothing if none comes within some seconds."""
    assert process.stdout
    ready = select.select([process.stdout], [], [], seconds)[0]
    return os.read(process.stdout.fileno(), 65536) if ready else b""


def test_dead_engine_is_told_once_although_its_trace_grows_with_each_request() -> None:
    told = filtered("begin\n" + "".join(record(FRAMES * count) for count in range(1, 68)) + "INFO:     Shutting down\n")
    assert told.startswith(f"begin\n{record(FRAMES)}")
    last = {"INFO:     Shutting down", "vllm-multinode: the last error was logged 66 more times"}
    assert set(told.splitlines()[FRAMES + 4 :]) == last


def test_number_is_told_at_the_end_when_nothing_follows() -> None:
    told = filtered(record(FRAMES) + record(2 * FRAMES))
    assert told == f"{record(FRAMES)}vllm-multinode: the last error was logged 1 more times\n"


def test_errors_that_differ_are_all_told() -> None:
    other_cause = record(FRAMES, "ValueError: another cause")
    other_place = record(FRAMES, place="serving.py:952")
    other_message = record(FRAMES, first="Error in chat completion stream generator.")
    text = record(FRAMES) + other_cause + other_place + other_message
    assert filtered(text) == text


def test_lines_that_are_no_records_of_errors_pass_as_they_are() -> None:
    text = (
        "(APIServer pid=15) INFO 11-29 07:40:01 [a.py:1] twice\n(APIServer pid=15) INFO 11-29 07:40:01 [a.py:1] twice\n"
        '{"level": "ERROR", "message": "x"}\n' * 2 + "\rprogress:  1%\rprogress: 2%"
    )
    assert filtered(text) == text


def test_an_error_of_one_line_passes_each_time() -> None:
    line = "(EngineCore pid=9) ERROR 11-29 07:40:01 [core.py:7] no room\n"
    assert filtered(line * 3) == line * 3


def test_lines_of_other_processes_pass_in_between() -> None:
    lines = record(FRAMES).splitlines(keepends=True)
    told = filtered("".join([*lines[:4], "(EngineCore pid=9) INFO 11-29 07:40:01 [a.py:1] x\n", *lines[4:]]))
    assert sorted(told.splitlines()) == sorted(
        [*record(FRAMES).splitlines(), "(EngineCore pid=9) INFO 11-29 07:40:01 [a.py:1] x"]
    )
    assert record(FRAMES) in told


def test_a_record_of_great_length_is_cut_in_its_middle() -> None:
    told = filtered(record(5000)).splitlines()
    assert len(told) == 300
    assert told[0].endswith(FIRST)
    assert told[-1].endswith(DEAD)


def test_nothing_waits_for_what_follows() -> None:
    with running() as process:
        assert process.stdin
        for text in (b"a line\n", b"a line without an end", record(FRAMES).encode()):
            process.stdin.write(text)
            process.stdin.flush()
            assert read(process, 5) == text
