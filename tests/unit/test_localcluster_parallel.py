"""Steps side by side: their order, and what an error or an interrupt does to the others."""

from __future__ import annotations

import sys
import time

import pytest

from localcluster import host, parallel
from localcluster.host import HostError
from localcluster.parallel import Task

pytestmark = pytest.mark.slow


def sleeper(seconds: float = 30) -> None:
    """Run a program that sleeps."""
    host.run([sys.executable, "-c", f"import time; time.sleep({seconds})"])


def test_task_begins_when_what_it_needs_has_ended() -> None:
    ended: list[str] = []

    def first() -> None:
        time.sleep(0.1)
        ended.append("first")

    tasks = [
        Task("last", lambda: ended.append("last"), needs=["first", "second"]),
        Task("first", first),
        Task("second", lambda: ended.append("second"), needs=["not among them"]),
    ]
    parallel.run_all(tasks)
    assert ended[-1] == "last"
    assert len(ended) == 3


def test_tasks_that_need_each_other_are_refused() -> None:
    with pytest.raises(HostError, match="these steps wait for each other: a, b"):
        parallel.run_all([Task("a", sleeper, needs=["b"]), Task("b", sleeper, needs=["a"])])


def test_error_ends_the_programs_of_the_others_and_is_the_one_that_is_told() -> None:
    def fail() -> None:
        time.sleep(0.3)
        raise HostError("no disk")

    begin = time.monotonic()
    with pytest.raises(HostError, match="no disk"):
        parallel.together(sleeper, fail, sleeper)
    assert time.monotonic() - begin < 10
    assert host.run([sys.executable, "-c", "print('again')"]) == "again\n"


def test_interrupt_ends_all_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        time.sleep(0.3)
        raise KeyboardInterrupt

    monkeypatch.setattr("localcluster.parallel.wait", interrupted)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        parallel.together(sleeper, sleeper)
    assert time.monotonic() - begin < 10


def test_program_is_heard_while_it_runs_and_ends_with_all_that_it_started() -> None:
    code = "import sys, subprocess; print('one', file=sys.stderr); print('two', file=sys.stderr); print('out')"
    heard: list[str] = []
    assert host.run([sys.executable, "-c", code], heard=heard.append) == "out\n"
    assert heard == ["one", "two"]
    begin = time.monotonic()
    with pytest.raises(HostError, match="no end after 1 s"):
        host.run(["/bin/sh", "-c", "sleep 30 & wait"], timeout=1)
    assert time.monotonic() - begin < 10


def test_program_that_fails_is_quoted() -> None:
    with pytest.raises(HostError, match=r"(?s)exit 3.*what went wrong"):
        host.run([sys.executable, "-c", "import sys; print('what went wrong', file=sys.stderr); sys.exit(3)"])
