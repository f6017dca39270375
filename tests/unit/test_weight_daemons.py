"""The weight daemons of a pod: their command line, and what their health and their log mean."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import daemons
from daemons import WeightDaemons
from preload import SERVER_FLAGS, preload_words
from processes import Children
from vmn.adapters.vllm_interface import load_interface

ANSWERS = """
import json, os, socket, sys
print("loads", flush=True)
own = json.loads(os.environ["MULTINODE_DAEMON_FLAGS"])
port = int(own[own.index("--weight-cache-health-port") + 1])
with socket.create_server(("127.0.0.1", port)) as server:
    for status in sys.argv[1:]:
        one, _ = server.accept()
        one.recv(65536)
        if status != "0":
            one.sendall(f"HTTP/1.1 {status} x\\r\\nContent-Length: 0\\r\\n\\r\\n".encode())
        one.close()
print("ValueError: no more answers", file=sys.stderr)
sys.exit(3)
"""
"""A program that answers /health with some statuses, 0 for none, and ends."""


@contextmanager
def started(folder: Path, *statuses: int) -> Iterator[WeightDaemons]:
    """Start daemons that answer so, and end them."""
    words = [sys.executable, "-c", ANSWERS, *map(str, statuses)]
    one = WeightDaemons(Children(), words, 29510, folder)
    one.start(dict(os.environ))
    yield one
    one.kill()


def looks_until(one: WeightDaemons, true: Callable[[], bool]) -> bool:
    """Look until something is true."""
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        one.look()
        time.sleep(0.01)
    return true()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than a pod does."""
    monkeypatch.setattr(daemons, "LOOK_SECONDS", 0.05)


def test_daemons_are_healthy_once_they_say_so_and_lost_when_they_end(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with started(tmp_path, 503, 200) as one:
        assert not one.healthy
        assert looks_until(one, lambda: one.healthy)
        assert looks_until(one, lambda: bool(one.lost))
        assert (one.lost, one.healthy) == ("exit status 3", False)
        assert looks_until(one, lambda: bool(one.errors))
    assert one.errors == ["ValueError: no more answers"]
    assert "loads\n" in capfd.readouterr().err


def test_daemons_that_were_healthy_are_lost_when_one_has_ended(tmp_path: Path) -> None:
    with started(tmp_path, 200, 503, 200) as one:
        assert looks_until(one, lambda: bool(one.lost))
        assert one.lost == "/health answers with status 503"
        assert not one.check()


def test_daemons_that_do_not_answer_are_lost_after_a_while_and_not_checked_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(tmp_path, 200, *[0] * 100) as one:
        assert looks_until(one, lambda: one.healthy)
        assert (one.check(), bool(one.lost)) == (False, False)
        monkeypatch.setattr(daemons, "SILENT_SECONDS", 0)
        assert looks_until(one, lambda: one.lost == "/health does not answer")


def test_daemons_are_started_once_with_a_directory_of_their_own(tmp_path: Path) -> None:
    with started(tmp_path, 200) as one:
        assert one.sockets.stat().st_mode & 0o777 == 0o700
        assert json.loads(one.flags[-1]) == {"socket_dir": str(tmp_path / "weights"), "fallback": False}
        with pytest.raises(RuntimeError, match="were started in this pod before"):
            one.start(dict(os.environ))


def test_longest_path_of_a_socket_is_one_that_linux_allows() -> None:
    name = "vllm_weight_cache_" + "0" * 64 + "_draft.sock"  # safe_hash is SHA-256 where MD5 is forbidden
    with socket.socket(socket.AF_UNIX) as one, pytest.raises(FileNotFoundError):
        one.connect(f"/tmp/{daemons.SOCKETS}/{name}")


def test_daemons_get_the_flags_of_the_engine_without_those_of_the_server() -> None:
    serve = ["r1", "--port", "8080", "--tensor-parallel-size", "8", "--no-enable-log-requests", "--headless"]
    serve += ["--middleware", "a", "--middleware", "b", "--kernel-config.moe_backend", "triton", "--nnodes", "2"]
    serve += [
        "--tool-call",
        "hermes",
        "--disable-log-requests",
        "--config-format",
        "hf",
        "--lora-modules",
        "a=b",
        "c=d",
    ]
    words = preload_words(serve, ["--weight-cache-socket-dir", "/tmp/weights"])
    assert words[:4] == ["vllm", "preload", "--model", "r1"]
    assert words[4:-2] == [
        *(
            "--tensor-parallel-size",
            "8",
            "--kernel-config.moe_backend",
            "triton",
            "--nnodes",
            "2",
            "--config-format",
            "hf",
        )
    ]
    assert words[-2:] == ["--weight-cache-socket-dir", "/tmp/weights"]


@pytest.mark.parametrize("version", ["0.32", "0.33"])
def test_flags_of_the_server_are_flags_of_vllm(version: str) -> None:
    interface = load_interface(version)
    assert interface
    known = set(interface.flags)
    assert [flag for flag in SERVER_FLAGS if flag not in known] in ([], ["reasoning-effort-map"])
