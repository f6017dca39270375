"""Whose a process is, what a log says about a failure, and what is put back afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from localcluster import cluster, kernel, launch, processes
from localcluster.cache import locked
from localcluster.host import HostError, allow_programs, run, stop_programs

MOUNTS = """\
29 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
33 28 0:28 / /sys/fs/cgroup rw shared:5 - tmpfs tmpfs rw,mode=755
37 33 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
43 33 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the state of these tests apart from a real cluster's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "vllm-multinode"


def test_hierarchies_of_both_versions_are_found() -> None:
    assert processes.hierarchies(MOUNTS) == {
        Path("/sys/fs/cgroup/memory"): "cgroup",
        Path("/sys/fs/cgroup/unified"): "cgroup2",
    }


def test_launched_program_is_in_its_group_before_it_starts(tmp_path: Path) -> None:
    script = ["sh", "-c", 'echo "$$"; cat "$0"', str(tmp_path / "cgroup.procs")]
    command = [sys.executable, "-ISB", launch.__file__, str(tmp_path), *script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    own, recorded = done.stdout.split()
    assert own == recorded


@pytest.mark.parametrize(
    ("record", "running"),
    [("{pid} {start}", True), ("{pid} 1", False), ("999999999 1", False), ("999999999 0", False), ("", False)],
)
def test_only_the_very_process_counts(state: Path, record: str, running: bool) -> None:
    start = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    (state / "pids").mkdir(parents=True)
    (state / "pids" / "kubelet").write_text(record.format(pid=os.getpid(), start=start))
    assert (processes.pid_of("kubelet") is not None) is running


def test_waiting_in_vain_says_what_went_wrong_last(tmp_path: Path) -> None:
    log = tmp_path / "kubelet.log"
    log.write_text("starting\nno such image\n")

    def ready() -> bool:
        raise HostError("connection refused")

    with pytest.raises(HostError) as caught:
        processes.wait_until("ready kubelet", ready, timeout=0, log=log)
    assert "no ready kubelet after 0 s" in str(caught.value)
    assert "connection refused" in str(caught.value)
    assert "no such image" in str(caught.value)


def test_waiting_ends_when_the_command_is_being_stopped() -> None:
    def ready() -> bool:
        return bool(run(["true"]))  # no program starts any more

    stop_programs()
    try:
        with pytest.raises(HostError, match="no ready node: the command is being stopped"):
            processes.wait_until("ready node", ready, timeout=90)
    finally:
        allow_programs()


def test_waiting_ends_at_once_when_ready() -> None:
    processes.wait_until("answer", lambda: True, timeout=0)


def test_kernel_settings_come_back(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.mkdir()
    monkeypatch.setattr(kernel, "_ROOT", tmp_path / "sys")
    setting = tmp_path / "sys" / "kernel" / "panic"
    setting.parent.mkdir(parents=True)
    setting.write_text("1\n")
    kernel.remember()
    setting.write_text("10\n")
    kernel.remember()
    kernel.restore()
    assert setting.read_text() == "1"


def test_restoring_without_a_record_changes_nothing() -> None:
    kernel.restore()


def test_no_cluster_is_not_up(state: Path) -> None:
    now = cluster.status()
    assert not now.up
    assert now.kubeconfig is None
    assert not now.programs["kube-apiserver"]


def test_second_run_says_that_it_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []

    def second() -> None:
        with locked(tmp_path / "cluster"):
            order.append("second")

    with locked(tmp_path / "cluster"):
        thread = Thread(target=second)
        thread.start()
        while "waiting for another run" not in capsys.readouterr().err:
            time.sleep(0.01)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
