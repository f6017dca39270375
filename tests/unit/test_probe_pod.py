"""The program of a probe's pods: two of them on this machine, and what one pod finds."""

from __future__ import annotations

import ast
import json
import resource
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit import probe_pod
from kit.scripts import free_port
from vmn.probe_pod import machine, network

pytestmark = pytest.mark.slow

LEADER, WORKER = "127.0.0.1", "127.0.0.2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Put the program into a directory."""
    return probe_pod.put_program(tmp_path)


def test_pods_connect_to_each_other(folder: Path) -> None:
    port = free_port()
    leader, worker = (probe_pod.start(folder, rank, host, port=port) for rank, host in enumerate((LEADER, WORKER)))
    met, joined = probe_pod.ended(leader)["port"], probe_pod.ended(worker)["port"]
    assert met == {"listen": f"{LEADER}:{port}", "error": None, "heard": [1]}
    assert (joined["to"], joined["error"], joined["back"]) == (f"{LEADER}:{port}", None, None)
    assert joined["from"].startswith(f"{WORKER}:")


def test_pod_waits_for_pod_0_that_listens_later(folder: Path) -> None:
    port = free_port()
    worker = probe_pod.start(folder, 1, WORKER, port=port)
    time.sleep(1.5)
    leader = probe_pod.start(folder, 0, LEADER, port=port)
    assert probe_pod.ended(leader)["port"]["heard"] == [1]
    assert probe_pod.ended(worker)["port"]["error"] is None


def test_pod_reports_its_answers_when_pod_0_never_listens(folder: Path) -> None:
    facts = probe_pod.ended(probe_pod.start(folder, 1, WORKER, port=free_port(), limit=2))
    assert facts["port"]["error"] == "Connection refused"
    assert facts["dns"]["address"] == LEADER
    assert facts["shm"]["total"] > 0


def test_pod_reports_that_the_name_does_not_resolve(folder: Path) -> None:
    facts = probe_pod.ended(probe_pod.start(folder, 1, WORKER, name="no.such.invalid", limit=2))
    assert facts["dns"]["address"] is None
    assert facts["dns"]["error"]
    assert facts["port"]["error"] == "the name of pod 0 has no address"


def test_pod_0_reports_that_its_port_is_in_use(folder: Path) -> None:
    with socket.create_server((LEADER, 0)) as taken:
        facts = probe_pod.ended(probe_pod.start(folder, 0, LEADER, port=taken.getsockname()[1]))
    assert facts["port"]["error"].startswith("Address already in use")


def test_pod_0_reports_who_did_not_connect_and_ignores_other_clients(folder: Path) -> None:
    port = free_port()
    leader = probe_pod.start(folder, 0, LEADER, port=port, nodes=3, limit=5)
    worker = probe_pod.start(folder, 2, WORKER, port=port, nodes=3, limit=5)
    stranger = network.reach(LEADER, port, network.now() + 5)
    assert not isinstance(stranger, OSError)
    with stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert probe_pod.ended(leader)["port"]["heard"] == [2]
    assert probe_pod.ended(worker)["port"]["error"] is None


@contextmanager
def pod_0_that_answers(answer: bytes) -> Iterator[int]:
    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(answer)

    with socket.create_server((LEADER, 0)) as server:
        server.settimeout(probe_pod.LIMIT)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join()


def test_pod_reports_that_pod_0_can_not_connect_back(folder: Path) -> None:
    with pod_0_that_answers(b'{"error": "timed out"}\n') as port:
        assert probe_pod.ended(probe_pod.start(folder, 1, WORKER, port=port))["port"]["back"] == "timed out"


def test_pod_exits_at_once_when_it_is_terminated(folder: Path) -> None:
    pod = probe_pod.start(folder, 1, WORKER, port=free_port())
    assert pod.stdout and pod.stdout.readline().startswith("vmn-active ")
    pod.send_signal(signal.SIGTERM)
    with pod:
        assert pod.wait(5) == 0


def test_single_pod_connects_to_no_other(folder: Path) -> None:
    facts = probe_pod.ended(probe_pod.start(folder, 0, LEADER, nodes=1, writable=[str(folder)]))
    assert set(facts) == {"shm", "cache", "interface"}
    assert facts["interface"]["interface"] == "lo"
    assert facts["cache"]["paths"] == {str(folder): None}


def test_silence_of_a_known_address_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(network, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(socket, "create_connection", silent)
    begun = time.monotonic()
    assert isinstance(network.reach(LEADER, 1, network.now() + 60), TimeoutError)
    assert time.monotonic() - begun < 5


def test_route_names_the_interface_of_an_address() -> None:
    found = network.route(LEADER)
    assert (found["interface"], found["error"]) == ("lo", None)
    assert "lo" in found["interfaces"]


def test_shared_memory_has_a_size_or_an_error() -> None:
    assert machine.shared_memory("/")["total"] > 0
    assert machine.shared_memory("/no/such")["error"] == "No such file or directory: /no/such"


def test_folder_that_does_not_exist_is_tried_above(tmp_path: Path) -> None:
    found = machine.writable([str(tmp_path / "home" / "deep"), "/proc/none"])
    assert found["paths"][str(tmp_path / "home" / "deep")] is None
    assert found["paths"]["/proc/none"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mask", "held"), [("0000000000004000", True), ("00000000a80425fb", False)])
def test_memlock_sees_limit_and_capability(tmp_path: Path, mask: str, held: bool) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tpython3\nCapEff:\t{mask}\n")
    found = machine.memlock(str(status))
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    assert found == {"limit": -1 if soft == resource.RLIM_INFINITY else soft, "capability": held}


def smi(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_gpus_are_counted_by_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "\n".join(f"GPU {index}: NVIDIA H100 80GB HBM3 (UUID: GPU-{index})" for index in range(2))
    smi(tmp_path, monkeypatch, f"cat <<'E'\n{lines}\n  MIG 1g.10gb Device 0: (UUID: MIG-1)\nE")
    assert machine.gpus() == {"count": 2, "by": "nvidia-smi -L", "names": ["NVIDIA H100 80GB HBM3"]}


def test_failing_driver_has_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, monkeypatch, "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    found = machine.gpus()
    assert found["count"] == 0
    assert found["error"].endswith("ended with 18: Failed to initialize NVML: Driver/library version mismatch")


def test_gpus_are_counted_by_device_files_without_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert machine.gpus(str(tmp_path))["count"] == 2


def test_rdma_devices_have_the_state_of_their_ports(tmp_path: Path) -> None:
    devices, sysfs = tmp_path / "dev", tmp_path / "class"
    devices.mkdir()
    for name in ("uverbs0", "rdma_cm"):
        (devices / name).touch()
    port = sysfs / "infiniband" / "mlx5_0" / "ports" / "1"
    (port / "gids").mkdir(parents=True)
    (sysfs / "infiniband" / "mlx5_9" / "ports" / "1").mkdir(parents=True)  # of another container
    (sysfs / "infiniband_verbs" / "uverbs0").mkdir(parents=True)
    for file, text in {
        sysfs / "infiniband_verbs" / "uverbs0" / "ibdev": "mlx5_0\n",
        port / "state": "4: ACTIVE\n",
        port / "link_layer": "Ethernet\n",
        port / "gids" / "3": "0000:0000:0000:0000:0000:ffff:0a00:0001\n",
    }.items():
        file.write_text(text)
    found = machine.rdma(3, str(devices), str(sysfs))
    gid = "0000:0000:0000:0000:0000:ffff:0a00:0001"
    ports = [{"port": "mlx5_0:1", "state": "ACTIVE", "link": "Ethernet", "gid": gid}]
    assert found == {"devices": ["uverbs0"], "closed": [], "ports": ports}
    assert machine.rdma(None, "/no/such", "/no/such") == {"devices": [], "closed": [], "ports": []}


def test_program_runs_without_the_rest_of_vmn_and_is_small_enough(folder: Path) -> None:
    files = {file.name: file.read_text() for file in (folder / "probe_pod").iterdir()}
    assert {"__init__.py", "__main__.py"} <= set(files)
    assert len(json.dumps(files).encode()) < 2**19, "a ConfigMap has room for 1 MiB"
    assert all(ast.parse(text, feature_version=(3, 9)) for text in files.values())
    done = subprocess.run(
        ["python3", "-B", "-E", "-S", "-c", "import probe_pod.__main__"], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
