"""The chart's scripts in pods of which each has API servers, with real processes; the engine tier does it with vLLM."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kit import smallserver
from kit.scripts import SCRIPTS, Pod, free_port, inside, may_have_mounts, terminate

pytestmark = pytest.mark.slow
LIMIT = 6
"""Seconds until a server that hangs is ended."""
LATE = 8
"""Seconds that this may take longer on a busy machine."""
KILLED = 128 + signal.SIGKILL
SUPERVISED = f"""exec {sys.executable} -c '
import http.server, os, signal, subprocess, sys, threading
first = int(os.environ["MULTINODE_PORT"])
titles = [f"VLLM::APIServer_DP{{index}}" for index in (2, 3)]
children = [
    subprocess.Popen([sys.executable, "{smallserver.__file__}", title],
                     env={{**os.environ, "MULTINODE_PORT": str(first + index)}})
    for index, title in enumerate(titles)
]
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        failed = any(child.poll() is not None for child in children)
        self.send_response(503 if failed else 200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["MULTINODE_HEALTH_PORT"])), Health)
print("supervised", flush=True)
server.serve_forever()
'"""
"""A program like vLLM's supervisor: two servers on ports that follow each other, and a port that answers for both."""


@pytest.fixture(scope="module", autouse=True)
def mounts_of_its_own() -> None:
    """Skip the tests where mount namespaces can't be created."""
    may_have_mounts()


class Metrics(BaseHTTPRequestHandler):
    """A server of another pod, with a number of requests."""

    running = 0
    late = 0.0
    """Seconds until an answer."""
    statistics = True

    def do_GET(self) -> None:
        """Answer as ``/metrics``, whose size is that of a dozen replicas."""
        time.sleep(self.late)
        text = (
            f'vllm:num_requests_running{{engine="0"}} {self.running}.0\nvllm:num_requests_waiting{{engine="0"}} 0.0\n'
        )
        text = (text if self.statistics else "") + "http_requests_total 1.0\n" * 20_000
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def other_pod(address: str, port: int) -> Iterator[type[Metrics]]:
    """Run the server of another pod at an address of this machine."""

    class Own(Metrics):
        pass

    with ThreadingHTTPServer((address, port), Own) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Own
        finally:
            server.shutdown()


def pod_of_two(folder: Path, vllm: str = "exec sleep 60", **settings: object) -> Pod:
    """Return a pod of a group of two, whose other pod is at 127.0.0.2."""
    pod = Pod(folder, vllm, LWS_LEADER_ADDRESS="vllm-0.vllm.ns", **settings)
    pod.env |= {"MULTINODE_PORTS": pod.env["MULTINODE_PORT"], "MULTINODE_HEALTH_PORT": pod.env["MULTINODE_PORT"]}
    pod.env["MULTINODE_DATA_PARALLEL_LOCAL"] = "1"
    own, other = ("vllm-0", "vllm-0-1") if pod.env["LWS_WORKER_INDEX"] == "0" else ("vllm-0-1", "vllm-0")
    names = f"{own}.vllm.ns) echo 127.0.0.1 STREAM ;; {other}.vllm.ns) echo 127.0.0.2 STREAM ;;"
    pod.program("getent", f'case "$2" in {names} *) exit 2 ;; esac')
    return pod


def read(process: subprocess.Popen[str], word: str) -> None:
    """Read the log up to a line with a word."""
    assert process.stdout
    assert any(word in line for line in process.stdout), f"ended without {word!r}"


@pytest.mark.parametrize("where", ["127.0.0.1", "127.0.0.2"], ids=["its own", "of the worker"])
def test_prestop_of_a_leader_waits_for_the_requests_of_all_pods(tmp_path: Path, where: str) -> None:
    pod = pod_of_two(tmp_path, MULTINODE_PRESTOP_SECONDS=0, MULTINODE_DRAIN_SECONDS=30)
    port = int(pod.env["MULTINODE_PORT"])
    with other_pod("127.0.0.1", port) as own, other_pod("127.0.0.2", port) as other:
        busy = own if where == "127.0.0.1" else other
        busy.running = 2
        with pod.start("prestop.sh") as process:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(3)
            busy.running = 0
            assert process.wait(6) == 0


SERVERS: Mapping[str, Sequence[str]] = {
    "data-parallel replicas": (),
    "several API servers": ("VLLM::APIServer_0", "VLLM::APIServer_1"),
    "one API server": ("VLLM::APIServer",),
}
"""What vLLM runs on the leader -> the titles of its API servers, as far as they matter."""


@pytest.mark.parametrize("servers", SERVERS)
def test_prestop_of_a_leader_waits_for_requests_that_vllm_would_not_finish(tmp_path: Path, servers: str) -> None:
    """With several API servers, vLLM ends running requests at SIGTERM. One finishes them by itself."""
    pod = Pod(tmp_path, MULTINODE_PRESTOP_SECONDS=0, MULTINODE_DRAIN_SECONDS=30)
    if servers == "data-parallel replicas":
        pod.env["MULTINODE_DATA_PARALLEL_LOCAL"] = "1"
    titles = " ".join(f"bash -c 'exec -a {title} sleep 60' &" for title in SERVERS[servers])
    with other_pod("127.0.0.1", int(pod.env["MULTINODE_PORT"])) as own:
        own.running = 2
        with pod.start_program("bash", "-c", f"{titles} sleep 0.5; bash {SCRIPTS}/prestop.sh") as process:
            if servers != "one API server":
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(3)
                own.running = 0
            assert process.wait(6) == 0


@pytest.mark.parametrize("attribute", ["late", "statistics"])
def test_prestop_of_a_leader_waits_while_a_server_does_not_say_that_it_has_no_requests(
    tmp_path: Path, attribute: str
) -> None:
    pod = pod_of_two(tmp_path, MULTINODE_PRESTOP_SECONDS=0, MULTINODE_DRAIN_SECONDS=30)
    with other_pod("127.0.0.1", int(pod.env["MULTINODE_PORT"])) as own:
        told = getattr(own, attribute)
        setattr(own, attribute, {"late": 5.0, "statistics": False}[attribute])
        with pod.start("prestop.sh") as process:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(8)
            setattr(own, attribute, told)
            assert process.wait(12) == 0


def test_prestop_of_a_leader_waits_no_longer_than_a_drain_may_take(tmp_path: Path) -> None:
    pod = pod_of_two(tmp_path, MULTINODE_PRESTOP_SECONDS=0, MULTINODE_DRAIN_SECONDS=3)
    with other_pod("127.0.0.1", int(pod.env["MULTINODE_PORT"])) as own:
        own.running = 1
        begun = time.monotonic()
        assert pod.run("prestop.sh")[0] == 0
    assert 2 <= time.monotonic() - begun < 3 + LATE  # bash counts whole seconds of the clock


def test_prestop_of_a_worker_waits_for_the_leader_although_it_has_a_server(tmp_path: Path) -> None:
    pod = pod_of_two(tmp_path, LWS_WORKER_INDEX=1)
    with pod.start("prestop.sh") as process:
        with other_pod("127.0.0.2", int(pod.env["MULTINODE_PORT"])), pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        assert process.wait(6) == 0


@pytest.mark.parametrize(("rank", "name"), [(0, "worker 1"), (1, "the leader")])
def test_pod_ends_when_the_server_of_another_pod_is_gone(tmp_path: Path, rank: int, name: str) -> None:
    serves = f"exec {sys.executable} {smallserver.__file__}"
    pod = pod_of_two(tmp_path, serves, LWS_WORKER_INDEX=rank, MULTINODE_WORKER_LOSS_SECONDS=0)
    port = int(pod.env["MULTINODE_PORT"])
    with pod.start("entrypoint.sh", "m") as process:
        with other_pod("127.0.0.2", port):
            read(process, "started")
            time.sleep(3)  # the watch has seen both servers
            assert process.poll() is None
        read(process, f"error: a pod of this group has closed its port {port}: vLLM of {name} has ended")
        assert process.wait(10) == KILLED


def test_pod_goes_on_while_the_server_of_another_pod_has_not_started(tmp_path: Path) -> None:
    pod = pod_of_two(tmp_path, f"exec {sys.executable} {smallserver.__file__}", MULTINODE_WORKER_LOSS_SECONDS=0)
    with pod.start("entrypoint.sh", "m") as process:
        read(process, "started")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        terminate(process)


def test_pod_goes_on_while_connections_to_the_master_port_of_another_pod_wait(tmp_path: Path) -> None:
    serves = f"exec {sys.executable} {smallserver.__file__}"
    pod = pod_of_two(tmp_path, serves, LWS_WORKER_INDEX=1, MULTINODE_WORKER_LOSS_SECONDS=3)
    with other_pod("127.0.0.2", int(pod.env["MULTINODE_PORT"])), socket.socket() as master:
        master.bind(("127.0.0.2", int(pod.env["MULTINODE_MASTER_PORT"])))
        master.listen(0)  # one connection waits, and the kernel drops the next ones
        with pod.start("entrypoint.sh", "m") as process:
            read(process, "started")
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(12)
            terminate(process)


@contextmanager
def supervised(folder: Path, **settings: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the second pod of two with two servers each; give its first port."""
    pod = pod_of_two(folder, SUPERVISED, LWS_WORKER_INDEX=1, LWS_GROUP_SIZE=1, **settings)
    port, pod.env["MULTINODE_HEALTH_PORT"] = two_ports(), str(free_port())
    pod.env |= {"MULTINODE_PORT": str(port), "MULTINODE_PORTS": f"{port} {port + 1}"}
    pod.env["MULTINODE_DATA_PARALLEL_LOCAL"] = "2"
    with pod.start("entrypoint.sh", "m") as process:
        try:
            read(process, "supervised")
            time.sleep(3)  # the watch has seen that it serves
            yield process, port
        finally:
            process.kill()


def two_ports() -> int:
    """Return a free port after which another one is free."""
    while True:
        port = free_port()
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        return port


def server(process: subprocess.Popen[str], index: int) -> int:
    """Return the process of a data-parallel replica's server."""
    (found,) = [number for number, words in inside(process).items() if words[-1:] == [f"VLLM::APIServer_DP{index}"]]
    return found


def test_pod_ends_when_one_of_its_servers_has_failed(tmp_path: Path) -> None:
    with supervised(tmp_path) as (process, _):
        os.kill(server(process, 3), signal.SIGKILL)
        read(process, "error: a data-parallel replica of this pod has failed")
        assert process.wait(10) == KILLED


def test_pod_ends_when_one_of_its_servers_hangs(tmp_path: Path) -> None:
    limits = {"MULTINODE_SERVER_HANG_SECONDS": LIMIT, "MULTINODE_ANSWER_LIMIT": 1}
    with supervised(tmp_path, **limits) as (process, _):
        os.kill(server(process, 3), signal.SIGSTOP)
        begun = time.monotonic()
        read(process, "error: the server has not answered /health for")
        assert time.monotonic() - begun < LIMIT + LATE
        assert process.wait(10) == KILLED


def test_pod_ends_when_the_engine_of_one_of_its_servers_hangs(tmp_path: Path) -> None:
    with supervised(tmp_path, MULTINODE_STALLED_SECONDS=LIMIT, STEPS=30) as (process, port):
        own = [number for number, words in inside(process).items() if words[-1:] == ["engine"]]
        assert len(own) == 2
        with socket.create_connection(("127.0.0.1", port + 1)) as client:
            client.sendall(b"POST /v1/completions HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
            time.sleep(1)
            for number in own:
                os.kill(number, signal.SIGSTOP)
            read(process, "error: requests run, and the engine has done no step for")
        assert process.wait(10) == KILLED
