"""The chart's scripts without vLLM. The engine tier runs them with vLLM."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kit.scripts import SCRIPTS, Pod, free_port, listening, may_have_mounts, terminate

pytestmark = pytest.mark.slow

IGNORES_SIGTERM = "trap '' TERM; echo started; while true; do sleep 0.1; done"
DRAINS = """exec python3 -c '
import os, signal, socket, sys, time
def drain(*_):
    time.sleep(6)
    print("drained", flush=True)
    sys.exit(0)
server = socket.create_server(("127.0.0.1", int(os.environ["MULTINODE_PORT"])))
signal.signal(signal.SIGTERM, drain)
print("started", flush=True)
time.sleep(60)
'"""

CLOSES = """exec python3 -c '
import os, signal, socket, subprocess, sys, time
def close(*_):
    server.close()
    print("closed", flush=True)
    time.sleep(8)
    sys.exit(0)
server = socket.create_server(("127.0.0.1", int(os.environ["MULTINODE_PORT"])))
subprocess.Popen(["sleep", "20"], pass_fds=[server.fileno()])
signal.signal(signal.SIGTERM, close)
signal.signal(signal.SIGALRM, close)
print("TimeoutError: RPC call timed out", flush=True)
print("started", flush=True)
signal.alarm(int(os.environ["CLOSES_AFTER"]))
time.sleep(60)
'"""
"""Closes its port on a signal or by itself, but does not exit, while a child still holds the port."""

SERVES = DRAINS.replace("time.sleep(6)", "pass")
"""Exits at once."""

LOSES_A_RANK = """exec python3 -c '
import os, signal, socket, subprocess, sys, time
def end(*_):
    for rank in ranks:
        rank.kill()
        rank.wait()
    time.sleep(3)
    sys.exit(0)
server = socket.create_server(("127.0.0.1", int(os.environ["MULTINODE_PORT"])))
titles = [f"VLLM::Worker_PP0_TP{rank}" for rank in range(2)]
ranks = [subprocess.Popen([title, "60"], executable="/bin/sleep") for title in titles]
signal.signal(signal.SIGTERM, end)
print("started", flush=True)
time.sleep(4)
if os.environ["LOSES"] == "yes":
    ranks[0].kill()
    ranks[0].wait()
    print("ERROR RuntimeError: Connection closed by peer", flush=True)
    print("(EngineCore pid=9) ERROR [x.py:1] Worker proc VllmWorker-0 died unexpectedly (exit code: -9)", flush=True)
time.sleep(60)
'"""
"""Serves with two ranks, and waits for the second one when the first one is gone, as vLLM does."""


@pytest.fixture(scope="module", autouse=True)
def mounts_of_its_own() -> None:
    """Skip the tests where mount namespaces can't be created."""
    may_have_mounts()


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout
    for line in process.stdout:
        if word in line:
            return
    raise AssertionError(f"ended without {word!r}")


def command_line(said: str) -> str:
    return next(line for line in said.splitlines() if line.startswith("vllm serve"))


@pytest.mark.parametrize(
    ("settings", "added"),
    [
        ({"LWS_GROUP_SIZE": 1}, ""),
        ({}, " --nnodes 2 --node-rank 0 --master-addr 127.0.0.1 --master-port 29501"),
        (
            {"LWS_WORKER_INDEX": 1},
            " --nnodes 2 --node-rank 1 --master-addr 127.0.0.1 --master-port 29501 --headless",
        ),
        (
            {"MULTINODE_DATA_PARALLEL_LOCAL": 8},
            " --data-parallel-size-local 8 --data-parallel-address 127.0.0.1 --data-parallel-rpc-port 29501",
        ),
        (
            {"MULTINODE_DATA_PARALLEL_LOCAL": 8, "LWS_WORKER_INDEX": 1},
            " --data-parallel-size-local 8 --data-parallel-address 127.0.0.1 --data-parallel-rpc-port 29501"
            " --headless --data-parallel-start-rank 8",
        ),
        (
            {"MULTINODE_DATA_PARALLEL_LOCAL": 8, "MULTINODE_LOAD_BALANCER": "external", "LWS_WORKER_INDEX": 1},
            " --data-parallel-size-local 8 --data-parallel-address 127.0.0.1 --data-parallel-rpc-port 29501"
            " --data-parallel-start-rank 8",
        ),
        (
            {"MULTINODE_DATA_PARALLEL_LOCAL": 4, "MULTINODE_LOAD_BALANCER": "hybrid"},
            " --data-parallel-size-local 4 --data-parallel-address 127.0.0.1 --data-parallel-rpc-port 29501"
            " --data-parallel-start-rank 0",
        ),
        (
            {"MULTINODE_DATA_PARALLEL_LOCAL": 1, "MULTINODE_LOAD_BALANCER": "external", "LWS_WORKER_INDEX": 1},
            " --data-parallel-size-local 1 --data-parallel-address 127.0.0.1 --data-parallel-rpc-port 29501"
            " --data-parallel-rank 1",
        ),
    ],
    ids=[
        *("one node", "leader", "worker", "data-parallel leader", "data-parallel worker"),
        *("a port per replica", "a server per node", "a replica per node"),
    ],
)
def test_start_adds_what_differs_between_pods(tmp_path: Path, settings: dict[str, Any], added: str) -> None:
    pod = Pod(tmp_path, **settings)
    pod.program("getent", "echo 127.0.0.1 STREAM")
    code, said = pod.run("start.sh", "some/model", "--port", "8080")
    assert code == 0, said
    assert command_line(said) == f"vllm serve some/model --port 8080{added}"


def test_start_keeps_each_argument_whole(tmp_path: Path) -> None:
    pod = Pod(tmp_path, 'printf "<%s>" "$@"', LWS_GROUP_SIZE=1)
    _, said = pod.run("start.sh", "m", "--override", '{"a b": "$HOME *"}')
    assert said.endswith('<serve><m><--override><{"a b": "$HOME *"}>')


def test_start_empties_shared_memory(tmp_path: Path) -> None:
    code, said = Pod(tmp_path, "echo shm: $(ls -A /dev/shm).", LWS_GROUP_SIZE=1).run("start.sh", "m")
    assert code == 0
    assert "shm: ." in said


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"MULTINODE_KEEP_WEIGHTS": "yes"}, "cuda.shm.0.7.1 torch_7_1"),
        ({"MULTINODE_KEEP_WEIGHTS": "yes", "MULTINODE_DAEMON_FLAGS": "[]"}, ""),
        ({}, ""),
    ],
    ids=["engine on weight daemons", "weight daemons", "engine alone"],
)
def test_start_keeps_what_weight_daemons_share(tmp_path: Path, settings: dict[str, Any], left: str) -> None:
    pod = Pod(tmp_path, "echo shm: $(ls -A /dev/shm).", LWS_GROUP_SIZE=1, **settings)
    before = "touch /dev/shm/cuda.shm.0.7.1 /dev/shm/torch_7_1 /dev/shm/psm_1"
    start = pod.start_program("bash", "-c", f'{before} && exec bash "$0" m', str(SCRIPTS / "start.sh"))
    said, _ = start.communicate(timeout=30)
    assert f"shm: {left}." in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"LWS_WORKER_INDEX": 1, "LWS_LEADER_ADDRESS": "no.such.invalid"}, "did not resolve in 2 s"),
        ({"HOME": "/proc/none"}, "is not writable for user"),
        ({"MULTINODE_BACKEND": "ray"}, "the image has no ray-cluster: build images/vllm-ray"),
    ],
    ids=["leader unknown", "cache not writable", "no Ray"],
)
def test_start_fails_with_a_message_and_in_time(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    code, said = Pod(tmp_path, **settings).run("start.sh", "m")
    assert code == 1
    assert message in said
    assert "vllm serve" not in said


@pytest.mark.parametrize(("cluster", "served"), [("exit 0", True), ("exit 3", False)], ids=["formed", "failed"])
def test_start_runs_vllm_only_when_the_ray_cluster_has_formed(tmp_path: Path, cluster: str, served: bool) -> None:
    pod = Pod(tmp_path, MULTINODE_BACKEND="ray")
    pod.program("ray-cluster", f'echo "ray-cluster $*"; {cluster}')
    code, said = pod.run("start.sh", "m")
    assert "ray-cluster leader --nodes 2 --port 29501" in said
    assert (code == 0, "\nvllm serve m\n" in said) == (served, served)


def test_start_runs_only_a_ray_worker_when_the_backend_is_ray(tmp_path: Path) -> None:
    pod = Pod(tmp_path, MULTINODE_BACKEND="ray", LWS_WORKER_INDEX=1)
    pod.program("getent", "echo 10.0.0.7 STREAM")
    pod.program("ray-cluster", 'echo "ray-cluster $*"; exit 4')
    code, said = pod.run("start.sh", "m")
    assert code == 4
    assert said.endswith("ray-cluster worker --address 10.0.0.7:29501\n")


@pytest.mark.parametrize(("status", "seen"), [(7, 7), (0, 1)])
def test_entrypoint_reports_the_exit_status_and_never_ends_a_failure_with_0(
    tmp_path: Path, status: int, seen: int
) -> None:
    code, said = Pod(tmp_path, f"exit {status}", LWS_GROUP_SIZE=1).run("entrypoint.sh", "m")
    assert code == seen
    assert f"vllm serve ended with exit status {status} after" in said
    assert "(served: no)" in said


@pytest.mark.parametrize(
    "error",
    ["core.py ValueError: the cause", "ERROR Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting"],
)
def test_entrypoint_writes_the_first_error_to_the_termination_message(tmp_path: Path, error: str) -> None:
    noise = "for i in $(seq 2000); do echo INFO line $i; done"
    pod = Pod(tmp_path, f"echo '{error}'; {noise}; echo last words; exit 3", LWS_GROUP_SIZE=1)
    code, said = pod.run("entrypoint.sh", "m")
    message = pod.message.read_text(encoding="utf-8")
    assert code == 3
    assert "INFO line 2000\nlast words\n" in said
    assert "exit status 3" in message
    assert error in message
    assert "last words" in message
    assert len(message.encode()) < 4096


def test_entrypoint_waits_when_a_start_failed_but_not_on_sigterm(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "exit 7", LWS_GROUP_SIZE=1, MULTINODE_BACKOFF_SECONDS=3)
    start = time.monotonic()
    assert pod.run("entrypoint.sh", "m")[0] == 7
    assert time.monotonic() - start >= 3
    pod.env["MULTINODE_BACKOFF_SECONDS"] = "30"
    with pod.start("entrypoint.sh", "m") as process:
        wait_for(process, "startup.backoffSeconds")
        start = time.monotonic()
        terminate(process)
        assert process.wait(10) == 7
        assert time.monotonic() - start < 3


def test_entrypoint_ends_a_start_that_ignores_sigterm(tmp_path: Path) -> None:
    with Pod(tmp_path, IGNORES_SIGTERM, LWS_GROUP_SIZE=1).start("entrypoint.sh", "m") as process:
        wait_for(process, "started")
        start = time.monotonic()
        terminate(process)
        assert process.wait(20) == 128 + signal.SIGKILL
        assert 0.5 < time.monotonic() - start < 6


def test_entrypoint_lets_a_serving_leader_drain(tmp_path: Path) -> None:
    with Pod(tmp_path, DRAINS, LWS_GROUP_SIZE=1).start("entrypoint.sh", "m") as process:
        wait_for(process, "started")
        terminate(process)
        wait_for(process, "drained")
        drained = time.monotonic()
        assert process.wait(10) == 0
        assert time.monotonic() - drained < 1.5, "something of the scripts has kept the log open"


def test_last_lines_of_the_log_are_written_before_the_container_ends(tmp_path: Path) -> None:
    pod = Pod(
        tmp_path,
        "trap 'echo the end; exit 0' TERM; echo started; while sleep 0.1; do :; done",
        LWS_GROUP_SIZE=1,
    )
    slow = f"""trap '' TERM
        while IFS= read -r line; do
            if [ "$line" = "the end" ]; then sleep 1; fi
            echo "$line" | {shutil.which("tee")} "$@"
        done"""
    pod.program("tee", slow)
    with pod.start("entrypoint.sh", "m") as process:
        wait_for(process, "started")
        terminate(process)
        wait_for(process, "the end")
        assert process.wait(10) == 0


def test_log_that_stays_open_does_not_keep_the_container(tmp_path: Path) -> None:
    program = "sleep 30 & trap 'exit 0' TERM; echo started; while sleep 0.1; do :; done"
    with Pod(tmp_path, program, LWS_GROUP_SIZE=1).start("entrypoint.sh", "m") as process:
        wait_for(process, "started")
        terminate(process)
        begun = time.monotonic()
        assert process.wait(10) == 0
        assert time.monotonic() - begun < 6


def test_entrypoint_ends_a_worker_whose_leader_was_replaced(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "echo started; exec sleep 60", LWS_WORKER_INDEX=1)
    address = tmp_path / "address"
    address.write_text("127.0.0.1 STREAM\n")
    pod.program("getent", f"cat {address}")
    with pod.start("entrypoint.sh", "m") as process:
        wait_for(process, "started")
        time.sleep(2)  # the watch has seen the first address
        address.write_text("127.0.0.2 STREAM\n")
        wait_for(process, "the leader was at 127.0.0.1 and is now at 127.0.0.2")
        assert process.wait(10) == 128 + signal.SIGKILL


def test_entrypoint_keeps_logs_of_failures_and_the_next_start_reports_them(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "echo ValueError: the cause; exit 7", LWS_GROUP_SIZE=1, LWS_LEADER_ADDRESS="vllm-0.vllm.ns")
    assert "earlier failure" not in pod.run("entrypoint.sh", "m")[1]
    (log,) = (tmp_path / "failures").iterdir()
    assert log.name.startswith("vllm-0.vllm.ns.rank-0.")
    assert "ValueError: the cause" in log.read_text(encoding="utf-8")

    worker = Pod(tmp_path, LWS_LEADER_ADDRESS="vllm-0.vllm.ns", LWS_WORKER_INDEX=1)
    worker.program("getent", "echo 127.0.0.1 STREAM")
    _, said = worker.run("entrypoint.sh", "m")
    reason = r"vllm serve ended with exit status 7 after \d s \(served: no\); ValueError: the cause"
    assert re.search(f"an earlier failure: {reason}; its log is in {log}", said)
    other = Pod(tmp_path, LWS_GROUP_SIZE=1, LWS_LEADER_ADDRESS="vllm-1.vllm.ns")
    assert "an earlier failure" not in other.run("entrypoint.sh", "m")[1]


def test_failure_reports_its_own_error_and_not_a_past_one(tmp_path: Path) -> None:
    for code in (7, 8):
        script = "exit 8" if code == 8 else "echo ValueError: the first cause; exit 7"
        assert Pod(tmp_path, script, LWS_GROUP_SIZE=1).run("entrypoint.sh", "m")[0] == code
    heads = [file.read_text(encoding="utf-8").splitlines()[0] for file in (tmp_path / "failures").iterdir()]
    assert sorted("the first cause" in head for head in heads) == [False, True], heads


def test_entrypoint_keeps_the_latest_five_logs_of_a_group(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "exit 7", LWS_GROUP_SIZE=1, LWS_LEADER_ADDRESS="vllm-0.vllm.ns")
    (tmp_path / "failures").mkdir()
    for day in range(1, 8):
        log = tmp_path / "failures" / f"vllm-0.vllm.ns.rank-0.2026010{day}T000000Z.log"
        log.touch()
        os.utime(log, (day, day))
    pod.run("entrypoint.sh", "m")
    names = sorted(path.name for path in (tmp_path / "failures").iterdir())
    assert len(names) == 5
    assert names[0] == "vllm-0.vllm.ns.rank-0.20260104T000000Z.log"


def test_next_start_says_when_and_of_which_group_a_failure_was(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "exit 7", LWS_GROUP_SIZE=1, LWS_LEADER_ADDRESS="vllm-0.vllm.ns")
    (tmp_path / "failures").mkdir()
    log = tmp_path / "failures" / "vllm-0.vllm.ns.rank-0.20260104T000000.000Z.log"
    log.touch()
    os.utime(log, (0, 0))
    said = pod.run("entrypoint.sh", "m")[1]
    told = "an earlier failure: its reason could not be kept; its log is in"
    assert f"{told} {log} (of vllm-0.vllm.ns, 1970-01-01 00:00:00 UTC)" in said


def test_reason_of_a_failure_is_never_kept_empty_when_the_disk_is_full(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "exit 7", LWS_GROUP_SIZE=1, LWS_LEADER_ADDRESS="vllm-0.vllm.ns")
    (tmp_path / "failures").mkdir()
    log = tmp_path / "failures" / "vllm-0.vllm.ns.rank-0.now.log"
    pod.program("date", f'[ "$1 $2" = "-u -r" ] || ln -sf /dev/full {log}; echo now')  # when the log gets its name
    (tmp_path / "failures" / "vllm-0.vllm.ns.rank-0.before.log").write_text("a reason\n", encoding="utf-8")
    code, said = pod.run("entrypoint.sh", "m")
    assert code == 7
    assert "the reason of this failure can't be kept in" in said
    assert list((tmp_path / "failures").iterdir()) == []


def test_entrypoint_reports_nothing_when_it_can_not_keep_logs(tmp_path: Path) -> None:
    code, said = Pod(tmp_path, "exit 7", LWS_GROUP_SIZE=1, MULTINODE_FAILURES="/proc/none").run("entrypoint.sh", "m")
    assert code == 7
    assert "/proc/none" not in said


@pytest.mark.parametrize("leaves", [True, False])
def test_entrypoint_ends_a_leader_whose_worker_has_ended(tmp_path: Path, leaves: bool) -> None:
    with listening_leader(tmp_path) as (process, port), socket.create_connection(("127.0.0.1", port)) as worker:
        time.sleep(2)  # the watch has seen that the group serves, and with whom
        if leaves:
            worker.close()
            wait_for(
                process, f"error: a pod of this group has closed its connection to port {port}: its vLLM has ended"
            )
            assert process.wait(10) == 128 + signal.SIGKILL
            (log,) = (tmp_path / "failures").iterdir()
            ended = r"vllm serve ended with exit status 137 after \d+ s \(served: yes\); error: a pod of this group"
            assert re.match(ended, log.read_text(encoding="utf-8"))
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(3)
            terminate(process)


def test_worker_that_ends_before_a_leader_has_drained_is_not_an_error(tmp_path: Path) -> None:
    with (
        listening_leader(tmp_path, DRAINS, drain=30) as (process, port),
        socket.create_connection(("127.0.0.1", port)) as worker,
    ):
        time.sleep(2)  # the watch has seen that the group serves, and with whom
        terminate(process)
        worker.close()
        said, _ = process.communicate(timeout=10)
        assert process.returncode == 128 + signal.SIGKILL
        assert "error:" not in said
        assert not (tmp_path / "failures").exists()


@pytest.mark.parametrize("by_itself", [True, False])
def test_entrypoint_ends_a_server_that_has_closed_its_port_by_itself(tmp_path: Path, by_itself: bool) -> None:
    pod = Pod(tmp_path, CLOSES, LWS_GROUP_SIZE=1, CLOSES_AFTER=3 if by_itself else 60, MULTINODE_DRAIN_SECONDS=5)
    with pod.start("entrypoint.sh", "m") as process:
        wait_for(process, "started")
        time.sleep(2)  # the watch has seen that it serves
        if by_itself:
            wait_for(process, "error: vLLM has closed its port and does not end: TimeoutError: RPC call timed out")
            assert process.wait(10) == 128 + signal.SIGKILL
        else:
            terminate(process)
            wait_for(process, "closed")
            assert process.wait(12) == 0


@pytest.mark.parametrize("loses", [True, False])
def test_entrypoint_ends_a_pod_that_has_lost_a_rank(tmp_path: Path, loses: bool) -> None:
    with Pod(tmp_path, LOSES_A_RANK, LWS_GROUP_SIZE=1, LOSES="yes" if loses else "no").start(
        "entrypoint.sh", "m"
    ) as process:
        wait_for(process, "started")
        if loses:
            said = "error: a rank of this pod has ended: Worker proc VllmWorker-0 died unexpectedly (exit code: -9)"
            wait_for(process, said)
            assert process.wait(10) == 128 + signal.SIGKILL
        else:
            time.sleep(3)
            terminate(process)  # both ranks end, and are not missed
            assert process.wait(12) == 0


@pytest.mark.parametrize("rank", [0, 1])
def test_worker_exits_without_a_failure_when_its_leader_has_drained(tmp_path: Path, rank: int) -> None:
    port = free_port()
    hook = """bash -c 'sleep 8; echo hook has ended' prestop.sh &\n"""
    settings = {"LWS_WORKER_INDEX": rank, "MULTINODE_MASTER_PORT": port, "MULTINODE_DRAIN_SECONDS": 1}
    pod = Pod(tmp_path, hook + SERVES, **settings)
    pod.program("getent", "echo 127.0.0.1 STREAM")
    with socket.create_server(("127.0.0.1", port)), pod.start("entrypoint.sh", "m") as process:
        wait_for(process, "started")
        with socket.create_connection(("127.0.0.1", port)):
            time.sleep(2)  # the watch has seen that the group serves, and with whom
        wait_for(process, f"vllm-multinode: {'' if rank else 'error: '}a pod of this group has closed its connection")
        if rank:
            wait_for(process, "hook has ended")
        assert process.wait(10) == 128 + signal.SIGKILL
        assert (tmp_path / "failures").exists() == (rank == 0)


WORKS = """exec python3 -c '
import os, socket, time
server = socket.create_server(("::", int(os.environ["MULTINODE_PORT"])), family=socket.AF_INET6, dualstack_ipv6=True)
print("started", flush=True)
time.sleep(60)
'"""
"""Serves, and keeps connections, which are those of IPv6."""


@pytest.mark.parametrize("rank", [0, 1])
def test_data_parallel_replicas_end_when_another_pod_has_closed_all_connections(tmp_path: Path, rank: int) -> None:
    """They are not connected to the master port: vLLM chooses the ports at which they talk."""
    with data_parallel_pod(tmp_path, rank) as (process, port):
        first, last = (connected("127.0.0.2", port) for _ in "12")
        with last:
            time.sleep(3)  # the watch has seen that the group serves, and with whom
            first.close()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(3)
        wait_for(process, "error: a pod of this group has closed its connections: its vLLM has ended")
        assert process.wait(10) == 128 + signal.SIGKILL


def test_data_parallel_replicas_outlive_clients_and_wait_for_the_addresses_of_pods(tmp_path: Path) -> None:
    answers = tmp_path / "dns-answers"
    with data_parallel_pod(tmp_path, 0, f"[ -e {answers} ] || exit 2; ") as (process, port):
        with connected("127.0.0.2", port) as pod:
            with connected("127.0.0.3", port):
                time.sleep(2)
            answers.touch()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(4)
            pod.close()
        wait_for(process, "error: a pod of this group has closed its connections: its vLLM has ended")
        assert process.wait(10) == 128 + signal.SIGKILL


@contextmanager
def data_parallel_pod(folder: Path, rank: int, dns: str = "") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a pod with one of two replicas behind one server, whose other pod is at 127.0.0.2; give the port of vLLM."""
    port = free_port()
    settings = {"LWS_WORKER_INDEX": rank, "MULTINODE_MASTER_PORT": free_port(), "MULTINODE_DATA_PARALLEL_LOCAL": 1}
    pod = Pod(folder, WORKS, **settings, MULTINODE_PORT=port, LWS_LEADER_ADDRESS="vllm-0.vllm.ns")
    pod.program("getent", f"{dns}echo 127.0.0.2 STREAM")
    with pod.start("entrypoint.sh", "m") as process:
        wait_for(process, "started")
        yield process, port


def connected(source: str, port: int) -> socket.socket:
    """Return a connection from an address to a port of 127.0.0.1."""
    return socket.create_connection(("127.0.0.1", port), source_address=(source, 0))


@pytest.mark.parametrize(
    ("address", "expected"), [("127.0.0.1", "0100007F"), ("::1", "00000000000000000000000001000000"), ("", "")]
)
def test_addresses_are_looked_for_as_the_kernel_writes_them(tmp_path: Path, address: str, expected: str) -> None:
    script = 'rank=0; source "$0/common.sh" && source "$0/watch.sh"; in_form_of_proc "$1"'
    command = ["bash", "-uc", script, str(SCRIPTS), address]
    done = subprocess.run(command, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (expected, "")


FOUND = """
rank=0
source "$0/common.sh" && source "$0/watch.sh"
find_sockets "$1" "$2"
for socket in "${found[@]}"; do echo "${socket% *}"; done
"""


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_connections_are_found_from_both_ends_and_by_who_has_closed_first(
    tmp_path: Path, family: socket.AddressFamily
) -> None:
    def ports(state: str) -> set[tuple[int, ...]]:
        command = ["bash", "-uc", FOUND, str(SCRIPTS), state, str(port)]
        done = subprocess.run(command, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return {tuple(int(end.rpartition(":")[2], 16) for end in line.split()) for line in done.stdout.splitlines()}

    address = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}[family]
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        assert ports("0A") == {(port, 0)}
        with socket.create_connection((address, port)) as worker:
            other = worker.getsockname()[1]
            leader, _ = server.accept()
            assert ports("01") == {(port, other), (other, port)}
            leader.close()
            assert ports("0[456]") == {(port, other)}
            assert ports("01") == set()


@contextmanager
def listening_leader(folder: Path, vllm: str = SERVES, drain: int = 1) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a serving leader, and return the socket of its master port."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        pod = Pod(folder, vllm, MULTINODE_MASTER_PORT=port, MULTINODE_DRAIN_SECONDS=drain)
        with pod.start("entrypoint.sh", "m") as process:
            wait_for(process, "started")
            yield process, port


@pytest.mark.parametrize("settings", [{}, {"MULTINODE_WORKER_LOSS_SECONDS": 0}], ids=["watched", "not watched"])
def test_entrypoint_ends_a_leader_when_a_workers_node_is_lost(tmp_path: Path, settings: dict[str, Any]) -> None:
    with leader_whose_worker_vanishes(tmp_path, "Connection refused", **settings) as process:
        if settings:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(7)
            terminate(process)
        else:
            wait_for(process, "worker 1 has not answered for")
            assert process.wait(10) == 128 + signal.SIGKILL


def test_entrypoint_ignores_a_worker_that_has_never_responded(tmp_path: Path) -> None:
    with leader_whose_worker_vanishes(tmp_path, "No route to host") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(7)
        terminate(process)


@contextmanager
def leader_whose_worker_vanishes(folder: Path, first: str, **settings: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a serving leader whose worker's node responds in the given way for a while, and then not at all."""
    pod = Pod(folder, SERVES, LWS_LEADER_ADDRESS="vllm-0.vllm.ns", MULTINODE_DRAIN_SECONDS=1, **settings)
    pod.program("getent", 'if [ "$2" = vllm-0-1.vllm.ns ]; then echo 10.9.9.9 STREAM; fi')
    until = time.time() + 3
    timeout = shutil.which("timeout")
    answer = f"if [ $(date +%s) -lt {until:.0f} ]; then echo '{first}' >&2; exit 1; fi; exit 124"
    pod.program("timeout", f'if [ "$5" = 10.9.9.9 ]; then {answer}; fi; exec {timeout} "$@"')
    with pod.start("entrypoint.sh", "m") as process:
        wait_for(process, "started")
        yield process


@pytest.mark.parametrize("port", ["MULTINODE_MASTER_PORT", "MULTINODE_PORT"])
def test_worker_probe_passes_when_the_leader_listens(tmp_path: Path, port: str) -> None:
    pod = Pod(tmp_path, LWS_WORKER_INDEX=1, MULTINODE_MASTER_PORT=free_port())
    pod.program("getent", "echo 127.0.0.1 STREAM")
    with listening(pod.env, port):
        assert pod.run("worker-probe.sh") == (0, "")


def test_worker_probe_works_without_dns_once_the_worker_has_started(tmp_path: Path) -> None:
    pod = Pod(tmp_path, LWS_WORKER_INDEX=1, MULTINODE_MASTER_PORT=free_port())
    pod.program("getent", "echo 127.0.0.1 STREAM")
    assert pod.run("start.sh", "m")[0] == 0
    pod.program("getent", "exit 2")
    with listening(pod.env):
        assert pod.run("worker-probe.sh") == (0, "")


def test_leader_is_resolved_again_when_a_container_restarts(tmp_path: Path) -> None:
    pod = Pod(tmp_path, LWS_WORKER_INDEX=1)
    pod.program("getent", "echo 127.0.0.1 STREAM")
    assert pod.run("start.sh", "m")[0] == 0
    pod.program("getent", "exit 2")
    assert pod.run("start.sh", "m")[0] == 1
    code, said = pod.run("worker-probe.sh")
    assert code == 1
    assert "does not resolve" in said


def test_worker_probe_fails_when_the_leader_does_not_listen(tmp_path: Path) -> None:
    pod = Pod(tmp_path, LWS_WORKER_INDEX=1, MULTINODE_MASTER_PORT=free_port())
    code, said = pod.run("worker-probe.sh")
    assert code == 1
    assert "listens neither on" in said


@pytest.mark.parametrize("serves", [True, False])
def test_prestop_of_a_leader_waits_only_when_the_leader_serves(tmp_path: Path, serves: bool) -> None:
    pod = Pod(tmp_path)
    start = time.monotonic()
    if serves:
        with listening(pod.env):
            assert pod.run("prestop.sh")[0] == 0
    else:
        assert pod.run("prestop.sh")[0] == 0
    assert (time.monotonic() - start >= 2) == serves


def test_prestop_of_a_worker_waits_until_its_leader_has_drained(tmp_path: Path) -> None:
    pod = Pod(tmp_path, LWS_WORKER_INDEX=1)
    pod.program("getent", "echo 127.0.0.1 STREAM")
    with listening(pod.env):
        process = pod.start("prestop.sh")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
    process.communicate(timeout=5)
    assert process.returncode == 0


def bundle(folder: Path, **says: str) -> Path:
    """Create a cache bundle with one old file."""
    kernel = folder / "bundle/cache/triton/kernel.so"
    kernel.parent.mkdir(parents=True)
    kernel.write_text("compiled")
    os.utime(kernel, ns=(10**18, 10**18 + 123456789))
    description = {"key": "v1-model", "gpu": "none", "created": "2026-11-26T12:00:00Z", **says}
    (folder / "bundle/bundle.json").write_text(json.dumps(description, indent=2), encoding="utf-8")
    return folder / "bundle"


def test_start_fills_the_cache_from_a_bundle_once_and_keeps_times(tmp_path: Path) -> None:
    root = tmp_path / "cache/v1-model"
    pod = Pod(tmp_path, LWS_GROUP_SIZE=1, MULTINODE_BUNDLE=bundle(tmp_path), MULTINODE_CACHE=root)
    code, said = pod.run("start.sh", "m")
    assert code == 0
    assert "filled the caches from the bundle of 2026-11-26T12:00:00Z" in said
    kernel = root / "triton/kernel.so"
    assert kernel.read_text() == "compiled"
    assert kernel.stat().st_mtime_ns == 10**18 + 123456789
    kernel.unlink()
    assert "filled the caches" not in pod.run("start.sh", "m")[1]
    assert not kernel.exists()


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ({"gpu": "NVIDIA H200"}, "is for v1-model on NVIDIA H200, but this is v1-model on none"),
        ({"key": "v0-model"}, "is for v0-model on none, but this is v1-model on none"),
        (None, "the cache bundle has no "),
    ],
)
def test_start_continues_without_a_bundle_that_does_not_match(
    tmp_path: Path, says: dict[str, str] | None, message: str
) -> None:
    made = bundle(tmp_path, **(says or {}))
    if says is None:
        (made / "bundle.json").unlink()
    root = tmp_path / "cache/v1-model"
    code, said = Pod(tmp_path, LWS_GROUP_SIZE=1, MULTINODE_BUNDLE=made, MULTINODE_CACHE=root).run("start.sh", "m")
    assert code == 0
    assert message in said
    assert command_line(said)
    assert not (root / "triton").exists()


@pytest.mark.parametrize(("shared", "status"), [("no", 1), ("yes", 0)])
def test_start_refuses_a_cache_on_a_shared_filesystem_unless_told(tmp_path: Path, shared: str, status: int) -> None:
    pod = Pod(tmp_path, LWS_GROUP_SIZE=1, MULTINODE_SHARED_FILESYSTEM=shared)
    pod.program("stat", "echo nfs4")
    code, said = pod.run("start.sh", "m")
    assert code == status
    assert ("the cache is on nfs4" in said) == (shared == "no")
