"""Processes that import vLLM in advance of restarts in place of two pods; the engine tier does it with vLLM."""

from __future__ import annotations

import math
import os
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kit.restartpods import FOLLOW, SERVE, RunningGroup, running
from kit.scripts import may_have_mounts, until

pytestmark = pytest.mark.slow
ON: dict[str, Any] = {"MULTINODE_KEEP_STANDBY": "yes"}
AHEAD = "vllm-multinode: this run goes on in the standby process"
LOST = r"the standby process ended with exit status {}: the next restart in place imports vLLM first"


@pytest.fixture(scope="module", autouse=True)
def mounts_of_its_own() -> None:
    """Skip the tests where mount namespaces can't be created."""
    may_have_mounts()


def waiting(group: RunningGroup) -> list[int]:
    """Return the number of the process that waits in each pod, once there is one."""
    assert until(lambda: all(pod.standby() for pod in group.pods), 10)
    return [pod.standby()[0] for pod in group.pods]


def restarted(group: RunningGroup, often: str) -> bool:
    """Return whether the group has restarted in place so often, and serves."""
    return group.leader.says(f"restarted in place within .*, {often} in the last") and group.serves()


def test_next_run_is_what_the_standby_process_becomes(tmp_path: Path) -> None:
    with running(tmp_path, **ON) as group:
        for number, often in enumerate(("once", "2 times"), start=1):
            before = waiting(group)
            time.sleep(1)
            group.worker.send(signal.SIGKILL, FOLLOW)
            assert restarted(group, often), "".join(group.leader.said)
            for pod, standby in zip(group.pods, before, strict=True):
                assert standby in pod.processes(SERVE)
                assert pod.count(AHEAD) == number
        assert (group.together, group.crowd, len(group.ports)) == (1, 1, 3)
        waiting(group)
        for pod in group.pods:
            assert pod.shared_memory() == pod.own_shared_memory()
            files = Path(pod.pod.env["TMPDIR"]).glob("vllm-multinode-run-*")
            assert {file.name.partition(".")[0][-1] for file in files} == {"2", "3"}  # of this run and the next one


def test_restart_waits_for_an_import_that_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, IMPORT_SECONDS=8, **ON) as group:
        waiting(group)
        group.leader.send(signal.SIGKILL, SERVE)
        assert restarted(group, "once"), "".join(group.leader.said)
        assert group.leader.count(AHEAD) == 1
        assert group.together == 1


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"IMPORT_FAILS": 1}, "AssertionError: vLLM can't be imported"),
        ({"USES_GPU": 1}, "vllm-multinode: error: importing vLLM has begun to use a GPU"),
        ({"SHELL": 1}, "vllm-multinode: error: .*/vllm is not a Python program, so that nothing can be imported"),
    ],
    ids=["import fails", "import uses a GPU", "a program of the shell"],
)
def test_group_restarts_without_a_standby_process_that_has_ended(
    tmp_path: Path, settings: dict[str, Any], why: str
) -> None:
    with running(tmp_path, **settings, **ON) as group:
        for pod in group.pods:
            assert pod.says(LOST.format(1))
            assert pod.says(why)
            assert not pod.standby()
        group.worker.send(signal.SIGKILL, FOLLOW)
        assert restarted(group, "once"), "".join(group.leader.said)
        assert not group.leader.count(AHEAD)


def test_group_restarts_when_a_standby_process_was_killed(tmp_path: Path) -> None:
    with running(tmp_path, **ON) as group:
        _, standby = waiting(group)
        os.kill(standby, signal.SIGKILL)
        assert group.worker.says(LOST.format(137))
        group.worker.send(signal.SIGKILL, FOLLOW)
        assert restarted(group, "once"), "".join(group.leader.said)
        assert [pod.count(AHEAD) for pod in group.pods] == [1, 0]


def test_restart_goes_on_when_the_import_under_way_begins_to_use_a_gpu(tmp_path: Path) -> None:
    with running(tmp_path, IMPORT_SECONDS=6, USES_GPU=1, **ON) as group:
        waiting(group)
        group.leader.send(signal.SIGKILL, SERVE)
        assert restarted(group, "once"), "".join(group.leader.said)
        assert group.leader.count(AHEAD) == 1


def test_weights_stay_when_the_next_run_is_a_standby_process(tmp_path: Path) -> None:
    with running(tmp_path, MULTINODE_KEEP_WEIGHTS="yes", **ON) as group:
        before = [pod.daemons() for pod in group.pods]
        waiting(group)
        group.worker.send(signal.SIGKILL, FOLLOW)
        assert restarted(group, "once"), "".join(group.leader.said)
        assert [pod.daemons() for pod in group.pods] == before
        for pod in group.pods:
            ((_, words),) = pod.processes(SERVE).items()
            assert words[words.index("--load-format") + 1] == "ipc_cache"
            assert (pod.count(AHEAD), pod.count("exec vllm preload")) == (1, 1)


@pytest.mark.parametrize("keep", [True, False], ids=["kept weights", "weights from the disk"])
@pytest.mark.parametrize(
    ("said", "sizes"),
    [
        ("5.9 5.9/4.24", [5.905, 4.245]),
        ("5.89/", [None, None]),
        ("5.9 5.11/4.24", [None, None]),
    ],
    ids=["all pods know", "one pod does not", "ranks of a pod differ"],
)
def test_memory_for_the_kv_cache_is_measured_once(
    tmp_path: Path, said: str, sizes: list[float | None], keep: bool
) -> None:
    settings: dict[str, Any] = {"MULTINODE_KEEP_WEIGHTS": "yes"} if keep else {}
    with running(tmp_path, KV_CACHE_GIB=said, **settings, **ON) as group:
        for often in ("once", "2 times"):
            waiting(group)
            group.worker.send(signal.SIGKILL, FOLLOW)
            assert restarted(group, often), "".join(group.leader.said)
            for pod, size in zip(group.pods, sizes, strict=True):
                (words,) = pod.processes(SERVE).values()
                given = dict(pairwise(words)).get("--kv-cache-memory-bytes")
                assert given == (str(math.ceil(size * 2**30)) if size and keep else None)


def test_standby_process_ends_at_once_when_a_pod_is_told_to_end(tmp_path: Path) -> None:
    with running(tmp_path, MULTINODE_DRAIN_SECONDS=60, **ON) as group:
        waiting(group)
        group.ask(max_tokens=2000)
        time.sleep(1)
        group.leader.terminate()
        assert until(lambda: not group.leader.standby(), 10)
        assert group.leader.processes(SERVE)  # it finishes its request
        group.worker.terminate()
        assert group.worker.ends(8) is not None
        assert group.leader.ends() is not None
