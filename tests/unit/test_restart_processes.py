"""Which processes of a pod are those of the engine, which are kept apart, and that no two engines run.

Both are programs here, as they kill what is below them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import processes
from kit.scripts import may_have_mounts, namespace

FOLDER = str(Path(processes.__file__).parent)
STARTING = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
import processes
processes.END_SECONDS = 0.5
engine = processes.EngineProcesses(["sleep", "60"], processes.Children())
subprocess.Popen(["sleep", "61"])
if sys.argv[2] == "stays":
    engine.kill = lambda: None
try:
    engine.start(dict(os.environ))
    print([open(f"/proc/{number}/cmdline").read() for number in engine.left()])
finally:
    processes.EngineProcesses.kill(engine)
"""
KEEPING = """
import os, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from processes import Children, all_of, kill
children = Children()
reader, writer = os.pipe()
inner = "sleep 300 & setsid sleep 301 & echo up; wait"
kept = children.start(["bash", "-c", inner], dict(os.environ), output=writer)
assert os.read(reader, 2) == b"up"
time.sleep(0.2)
assert children.beside() == set(), children.beside()
engine = children.start(["bash", "-c", "sleep 302 & wait"], dict(os.environ))
while len(children.beside()) != 2:
    time.sleep(0.02)
assert len(all_of(kept)) == 3
assert not all_of(kept) & children.beside()
os.kill(kept, 9)
while children.status(kept) is None:
    time.sleep(0.02)
assert children.status(kept) == 137
assert len(all_of(kept)) == 1
turn, gate = os.pipe()
waits = children.start(["bash", "-c", "cat; sleep 303 & wait"], dict(os.environ), turn=turn)
os.close(turn)
while len(all_of(waits)) != 2:
    time.sleep(0.02)
assert not all_of(waits) & children.beside()
children.adopt(waits)
os.close(gate)
while len(all_of(waits) & children.beside()) != 2:
    time.sleep(0.02)
kill(all_of(kept) | children.beside())
while children.status(engine) is None or all_of(kept):
    time.sleep(0.02)
print("done")
"""


@pytest.mark.parametrize(
    ("other", "said"),
    [("ends", "['sleep\\x0060\\x00']"), ("stays", "RuntimeError: a process of this pod does not end")],
)
def test_engine_starts_only_once_no_other_process_is_left(other: str, said: str) -> None:
    command = [sys.executable, "-B", "-c", STARTING, FOLDER, other]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said in done.stdout + done.stderr


def test_processes_that_are_kept_apart_are_none_of_the_engines_and_end_with_all_that_they_started() -> None:
    may_have_mounts()
    command = [*namespace(), sys.executable, "-c", KEEPING, FOLDER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr
