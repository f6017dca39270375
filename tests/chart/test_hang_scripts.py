"""Servers and engines that hang under the chart's PID 1, with real processes; the fault tests do it with vLLM."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kit import smallserver
from kit.scripts import Pod, inside, may_have_mounts, terminate, until

pytestmark = pytest.mark.slow
LIMIT = 7
"""Seconds of both limits; stall.sh tries an idle engine after a seventh of its limit, in whole seconds."""
LATE = 6
"""Seconds that the end of vLLM may take after a limit, on a busy machine."""
KILLED = 128 + signal.SIGKILL
STALLED = {"MULTINODE_STALLED_SECONDS": LIMIT}
HANGS = {"MULTINODE_SERVER_HANG_SECONDS": LIMIT, "MULTINODE_ANSWER_LIMIT": 1}


@pytest.fixture(scope="module", autouse=True)
def mounts_of_its_own() -> None:
    """Skip the tests where mount namespaces can't be created."""
    may_have_mounts()


@dataclass
class Leader:
    """A leader that serves.

    Attributes:
        process: what its PID 1 runs in.
        port: of its API.
        said: the lines of its log.
    """

    process: subprocess.Popen[str]
    port: int
    said: list[str] = field(default_factory=list)

    def read(self) -> None:
        """Keep the lines of the log."""
        assert self.process.stdout
        self.said += self.process.stdout

    def signal(self, sign: signal.Signals, *, engine: bool = False) -> None:
        """Signal the server, or the process of its engine."""
        wanted = [str(smallserver.__file__), "engine"] if engine else [str(smallserver.__file__)]
        (found,) = [number for number, words in inside(self.process).items() if words[1:] == wanted]
        os.kill(found, sign)

    def ask(self) -> None:
        """Send a request, and do not wait for its answer."""
        address = f"http://127.0.0.1:{self.port}/v1/completions"
        threading.Thread(target=_post, args=(address,), daemon=True).start()

    def requests(self) -> int:
        """Return how many requests the server has got."""
        return sum("completion asked for by" in line for line in self.said)

    def says(self, pattern: str, limit: float = 20) -> bool:
        """Return whether a line comes within some seconds."""
        return until(lambda: any(re.search(pattern, line) for line in list(self.said)), limit)

    def ends(self, limit: float) -> int | None:
        """Return the exit status, nothing when it does not end within some seconds."""
        until(lambda: self.process.poll() is not None, limit)
        return self.process.poll()


def _post(address: str) -> None:
    try:
        urllib.request.urlopen(address, data=b"{}").close()
    except OSError:  # the server was killed
        return


@contextmanager
def leader(folder: Path, **settings: object) -> Iterator[Leader]:
    """Run a leader that serves, and end it."""
    pod = Pod(folder, f"exec {sys.executable} {smallserver.__file__}", LWS_GROUP_SIZE=1, **settings)
    with pod.start("entrypoint.sh", "m") as process:
        found = Leader(process, int(pod.env["MULTINODE_PORT"]))
        reader = threading.Thread(target=found.read, daemon=True)
        reader.start()
        try:
            assert found.says("started")
            time.sleep(1.5)  # the watch has seen that it serves
            yield found
        finally:
            process.kill()


def test_server_that_is_frozen_is_ended(tmp_path: Path) -> None:
    with leader(tmp_path, **HANGS) as one:
        one.signal(signal.SIGSTOP)
        begun = time.monotonic()
        assert one.ends(LIMIT + LATE) == KILLED
        assert time.monotonic() - begun >= LIMIT - 1
        assert one.says(r"error: the server has not answered /health for \d+ s and has computed nothing: it hangs")


def test_server_that_is_busy_is_not_ended(tmp_path: Path) -> None:
    with leader(tmp_path, **HANGS, BUSY=LIMIT + 3) as one:
        one.signal(signal.SIGUSR1)
        assert one.says("computed", LIMIT + 2 * LATE)
        assert one.process.poll() is None


@pytest.mark.parametrize("frozen", [True, False])
def test_server_is_drained_unless_it_hangs(tmp_path: Path, frozen: bool) -> None:
    settings = {"MULTINODE_ANSWER_LIMIT": 1, "MULTINODE_DRAIN_SECONDS": 60, "DRAINS": 8}
    with leader(tmp_path, **settings) as one:
        if frozen:
            one.signal(signal.SIGSTOP)
        terminate(one.process)
        assert one.ends(8 + LATE) == (KILLED if frozen else 0)


@pytest.mark.parametrize("first", [2, None], ids=["ended", "there"])
def test_server_is_killed_when_its_engine_has_ended_and_it_waits_for_connections(
    tmp_path: Path, first: int | None
) -> None:
    settings = {"MULTINODE_DRAIN_SECONDS": 60, "MULTINODE_LAST_ANSWERS": 3, "DRAINS": 12}
    with leader(tmp_path, **settings, **({"ENGINE_DRAINS": first} if first else {})) as one:
        begun = time.monotonic()
        terminate(one.process)
        assert one.ends(12 + LATE) == (KILLED if first else 0)
        assert (time.monotonic() - begun < 12) is bool(first)


def test_server_that_is_stopping_gets_no_request_of_the_watch(tmp_path: Path) -> None:
    with leader(tmp_path, **STALLED, MULTINODE_DRAIN_SECONDS=60, DRAINS=LIMIT) as one:
        assert until(lambda: one.requests() > 0, LIMIT)
        terminate(one.process)
        before = one.requests()
        assert one.ends(LIMIT + LATE) == 0
        assert one.requests() - before <= 1  # one that was about to be sent


@pytest.mark.parametrize("idle", [False, True], ids=["busy", "idle"])
def test_engine_that_is_frozen_is_ended(tmp_path: Path, idle: bool) -> None:
    with leader(tmp_path, **STALLED, STEPS=9, VLLM_API_KEY="secret") as one:
        if not idle:
            one.ask()
            time.sleep(1)
        one.signal(signal.SIGSTOP, engine=True)
        assert one.ends(LIMIT + LIMIT / 7 + LATE) == KILLED
        assert one.says(rf"requests run, and the engine has done no step for \d+ s: this leader exits after {LIMIT} s")
        assert one.says(r"error: requests run, and the engine has done no step for \d+ s: it hangs")
        if idle:
            assert "completion asked for by Bearer secret\n" in one.said


def test_engine_is_watched_after_its_server_gave_no_numbers_for_a_while(tmp_path: Path) -> None:
    with leader(tmp_path, **STALLED, MULTINODE_ANSWER_LIMIT=1, BUSY=4) as one:
        one.signal(signal.SIGUSR1)
        assert one.says("computed", 4 + LATE)
        one.signal(signal.SIGSTOP, engine=True)
        one.ask()
        assert one.ends(2 * LIMIT + LATE) == KILLED


@pytest.mark.parametrize("settings", [{**STALLED, "STEPS": 30}, {}], ids=["a long prefill", "off"])
def test_engine_goes_on_when_it_is_slow_or_not_watched(tmp_path: Path, settings: dict[str, object]) -> None:
    with leader(tmp_path, **settings) as one:
        one.ask()
        if not settings:
            time.sleep(0.5)
            one.signal(signal.SIGSTOP, engine=True)
        assert one.ends(LIMIT + 3) is None
        assert not any("has done no step" in line for line in one.said)


def test_engine_that_goes_on_is_told(tmp_path: Path) -> None:
    with leader(tmp_path, MULTINODE_STALLED_SECONDS=8, STEPS=9) as one:
        one.ask()
        time.sleep(1)
        one.signal(signal.SIGSTOP, engine=True)
        assert one.says("has done no step")
        one.signal(signal.SIGCONT, engine=True)
        assert one.says("the engine works again")
        assert one.process.poll() is None


@pytest.mark.parametrize(
    ("settings", "requests"),
    [({"REFUSES": 404}, 1), ({"ASLEEP": 1}, 0)],
    ids=["a model without completions", "asleep"],
)
def test_idle_engine_gets_no_request_that_it_can_not_answer(
    tmp_path: Path, settings: dict[str, object], requests: int
) -> None:
    with leader(tmp_path, **STALLED, **settings) as one:
        time.sleep(5)
        assert one.requests() == requests
        assert one.process.poll() is None


def test_idle_engine_that_answers_goes_on(tmp_path: Path) -> None:
    with leader(tmp_path, **STALLED) as one:
        assert one.ends(LIMIT + 3) is None
        assert one.requests() >= 2
