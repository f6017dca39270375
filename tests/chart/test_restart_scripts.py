"""Restarts in place of two pods, with real processes; the engine tier does it with vLLM."""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path

import pytest

from kit.restartpods import FOLLOW, LEAD, SERVE, RunningGroup, RunningPod, running
from kit.scripts import may_have_mounts, until

pytestmark = pytest.mark.slow
AGAIN = r"vllm-multinode: restarted in place within \d+ s, {} in the last 600 s, at most 3: rank {}, {}: "
NOT_AGAIN = r"vllm-multinode: does not restart in place: {}"


@pytest.fixture(scope="module", autouse=True)
def mounts_of_its_own() -> None:
    """Skip the tests where mount namespaces can't be created."""
    may_have_mounts()


def is_unready(pod: RunningPod) -> bool:
    """Return whether the readiness probe fails."""
    return pod.probe("readiness") != 0


def restarted(group: RunningGroup, often: str = "once", rank: int | None = 0) -> bool:
    """Return whether the log of the leader tells of so many restarts, and both pods are there.

    Args:
        group: of the pods.
        often: how often it says.
        rank: pod that it names as the one that failed, None for any.
    """
    told = AGAIN.format(often, *((r"\d", r"\S+") if rank is None else (rank, f"vllm-0-{rank}" if rank else "vllm-0")))
    alive = group.leader.process.poll() is None and group.worker.process.poll() is None
    return group.leader.says(told) and group.serves() and alive


@pytest.mark.parametrize(
    ("rank", "mode"),
    # The worker ends a moment after the leader's server. On a busy machine, it reports first, and is named then.
    [(None, SERVE), (0, LEAD), (1, SERVE), (1, FOLLOW)],
    ids=["leader's server", "leader's rank", "worker's server", "worker's rank"],
)
def test_group_restarts_in_place_when_a_process_is_killed(tmp_path: Path, rank: int | None, mode: str) -> None:
    with running(tmp_path) as group:
        pod = group.worker if rank else group.leader
        pod.send(signal.SIGKILL, mode)
        if mode == LEAD:  # as with vLLM's pipelines, only the worker notices that, unless there are requests
            rank = 1
        assert restarted(group, rank=rank), "".join(group.leader.said)
        assert (group.together, len(group.ports)) == (1, 2)
        assert not group.leader.message() + group.worker.message()


def test_group_restarts_in_place_when_the_worker_is_frozen(tmp_path: Path) -> None:
    with running(tmp_path, STEP_SECONDS=2) as group:
        group.worker.send(signal.SIGSTOP, FOLLOW)
        group.ask()
        assert restarted(group), "".join(group.leader.said)
        assert group.together == 1


def test_two_deaths_at_the_same_moment_are_one_restart(tmp_path: Path) -> None:
    with running(tmp_path) as group:
        group.leader.send(signal.SIGKILL, SERVE)
        group.worker.send(signal.SIGKILL, FOLLOW)
        assert group.leader.says("restarted in place within .*, once in the last")
        assert group.serves()
        assert group.leader.count("restarted in place within") == 1
        assert (group.together, len(group.ports)) == (1, 2)


@pytest.mark.parametrize("rank", [0, 1], ids=["leader", "worker"])
def test_pods_end_when_an_engine_dies_during_a_restart(tmp_path: Path, rank: int) -> None:
    with running(tmp_path, START_SECONDS=4) as group:
        pod = group.worker if rank else group.leader
        group.worker.send(signal.SIGKILL, FOLLOW)
        assert pod.says("starts run 1 in place")
        assert until(lambda: len(pod.processes(SERVE)) == 1, 10)
        pod.send(signal.SIGKILL, SERVE)
        assert (group.leader.ends() or 0) > 0
        assert (group.worker.ends() or 0) > 0
        assert pod.says(NOT_AGAIN.format("rank .*, before the group served"))
        assert "vllm serve ended with exit status 137" in pod.message()
        other = group.leader if rank else group.worker
        told = other.message()  # its engine may end by itself before it is told to
        assert "the engines could not restart in place: rank" in told or "vllm serve ended with exit status" in told
        assert group.together == 1


@pytest.mark.parametrize("when", ["starts run 1 in place", "restarts in place: "], ids=["start", "stop"])
def test_both_pods_end_at_once_when_they_are_deleted_during_a_restart(tmp_path: Path, when: str) -> None:
    with running(tmp_path, START_SECONDS=10, MULTINODE_DRAIN_SECONDS=60) as group:
        group.worker.send(signal.SIGKILL, FOLLOW)
        assert group.leader.says(when)
        group.leader.terminate()
        group.worker.terminate()
        assert group.leader.ends(8) is not None
        assert group.worker.ends(8) is not None
        assert not group.leader.count("restarted in place within")


def test_pods_end_when_they_have_restarted_often_enough(tmp_path: Path) -> None:
    with running(tmp_path, MULTINODE_RESTARTS=1) as group:
        group.worker.send(signal.SIGKILL, FOLLOW)
        assert group.leader.says("restarted in place within .*, once in the last")
        assert group.serves()
        time.sleep(1.5)
        group.worker.send(signal.SIGKILL, FOLLOW)
        assert group.leader.says(NOT_AGAIN.format("once in the last 600 s is enough"))
        assert (group.worker.ends() or 0) > 0
        assert (group.leader.ends() or 0) > 0
        assert "vllm serve ended with exit status" in group.worker.message()
        assert "a pod of this group has closed its connection" in group.leader.message()


def test_pods_end_when_one_does_not_answer(tmp_path: Path) -> None:
    with running(tmp_path) as group:
        group.worker.freeze()
        time.sleep(11)
        group.leader.send(signal.SIGKILL, SERVE)
        assert group.leader.says(NOT_AGAIN.format("vllm-0-1 does not answer: rank 0, vllm-0: "))
        assert group.leader.ends() == 137
        assert "vllm serve ended with exit status 137" in group.leader.message()


def test_worker_ends_when_its_leader_is_gone(tmp_path: Path) -> None:
    with running(tmp_path) as group:
        group.leader.process.kill()
        assert (group.worker.ends() or 0) > 0
        assert not group.worker.count("in place")


def test_group_that_never_served_does_not_restart_in_place(tmp_path: Path) -> None:
    with running(tmp_path, serves=False, MULTINODE_BACKOFF_SECONDS=2, START_SECONDS=60) as group:
        assert until(lambda: bool(group.worker.processes(FOLLOW)), 20)
        group.worker.send(signal.SIGKILL, FOLLOW)
        assert group.worker.says(r"the container ends in 2 s \(startup.backoffSeconds\)")
        assert (group.worker.ends() or 0) > 0
        assert len(group.ports) == 1


def test_probes_know_that_a_restart_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, START_SECONDS=6) as group:
        for pod in (group.leader, group.worker):
            assert [pod.probe(name) for name in ("startup", "readiness", "liveness")] == [0, 0, 0]
        group.leader.send(signal.SIGKILL, SERVE)
        assert group.worker.says("restarts in place: ")
        for pod in (group.leader, group.worker):  # the leader tells the workers before its own file is written
            assert until(partial(is_unready, pod), 2)
            assert [pod.probe(name) for name in ("startup", "readiness", "liveness")] == [0, 1, 0]
        assert group.leader.says("restarted in place within")
        for pod in (group.leader, group.worker):
            assert [pod.probe(name) for name in ("startup", "readiness", "liveness")] == [0, 0, 0]
