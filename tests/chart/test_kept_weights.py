"""Weight daemons of two pods that restart in place, as real processes. A small program stands for ``vllm preload``."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from kit.restartpods import FOLLOW, SERVE, RunningPod, running
from kit.scripts import inside, may_have_mounts, until
from kit.smalldaemons import SHARED

pytestmark = pytest.mark.slow
KEEP: dict[str, Any] = {"MULTINODE_KEEP_WEIGHTS": "yes"}
LOST = r"error: the weight daemons are lost \({}\): if the engine ends, the group is recreated"


@pytest.fixture(scope="module", autouse=True)
def mounts_of_its_own() -> None:
    """Skip the tests where mount namespaces can't be created."""
    may_have_mounts()


def kill_daemon(pod: RunningPod, word: str) -> None:
    """Kill the last process of the daemons with this word in its command line."""
    found = [number for number in pod.daemons() if word in inside(pod.process)[number]]
    os.kill(max(found), signal.SIGKILL)


def test_engines_start_on_daemons_that_hold_their_weights_and_leave_them_in_a_restart(tmp_path: Path) -> None:
    with running(tmp_path, LOAD_SECONDS=2, **KEEP) as group:
        before = [pod.daemons() for pod in group.pods]
        for pod, folder in zip(group.pods, ("leader", "worker"), strict=True):
            held = next(index for index, line in enumerate(pod.said) if "the weight daemons hold the weights" in line)
            assert not any("model starts" in line for line in pod.said[:held])
            assert (tmp_path / folder / "weights").stat().st_mode & 0o777 == 0o700
            ((_, words),) = pod.processes(SERVE).items()
            assert words[words.index("--load-format") + 1] == "ipc_cache"
        group.worker.send(signal.SIGKILL, FOLLOW)
        assert group.leader.says("restarted in place within .*, once in the last")
        assert group.serves()
        assert [pod.daemons() for pod in group.pods] == before
        assert [len(numbers) for numbers in before] == [3, 3]
        for pod in group.pods:
            shared = [name for name in pod.shared_memory() if name.startswith(SHARED)]
            assert len(shared) == len(SHARED) * 2, shared  # of two GPUs
        assert (group.together, len(group.ports)) == (1, 2)
        assert [pod.count("exec vllm preload") for pod in group.pods] == [1, 1]


@pytest.mark.parametrize(
    ("word", "why"),
    [("preload", "exit status 137"), ("hold", "/health answers with status 503")],
    ids=["all", "a GPU's"],
)
def test_group_serves_on_without_a_daemon_and_its_next_failure_ends_the_pods(
    tmp_path: Path, word: str, why: str
) -> None:
    with running(tmp_path, **KEEP) as group:
        kill_daemon(group.worker, word)
        assert group.worker.says(LOST.format(why))
        assert until(lambda: not group.worker.daemons(), 5)
        assert group.serves()
        group.leader.send(signal.SIGKILL, SERVE)
        reason = (
            rf"does not restart in place: the weight daemons of vllm-0-1 are lost \({why}\): rank 0, vllm-0: vllm serve"
        )
        assert group.leader.says(reason)
        assert group.leader.ends() == 137
        assert (group.worker.ends() or 0) > 0
        assert "vllm serve ended with exit status 137" in group.leader.message()
        assert len(group.ports) == 1


def test_pods_end_when_a_daemon_dies_together_with_an_engine(tmp_path: Path) -> None:
    with running(tmp_path, **KEEP) as group:
        kill_daemon(group.leader, "hold")
        group.leader.send(signal.SIGKILL, SERVE)
        assert group.leader.says("does not restart in place: the weight daemons of vllm-0 are lost")
        assert (group.leader.ends() or 0) > 0
        assert (group.worker.ends() or 0) > 0
        assert len(group.ports) == 1


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"LOAD_SECONDS": 60, "MULTINODE_STARTUP_SECONDS": 5}, "not healthy within 4 s"),
        ({"LOAD_ERROR": "UnsupportedQuantForIPCError: layer x: y does not support it"}, "exit status 1"),
    ],
    ids=["late", "refused"],
)
def test_pod_ends_before_an_engine_starts_when_its_daemons_do_not_hold_the_weights(
    tmp_path: Path, settings: dict[str, Any], why: str
) -> None:
    with running(tmp_path, serves=False, MULTINODE_BACKOFF_SECONDS=1, **settings, **KEEP) as group:
        assert group.leader.says(r"error: the weight daemons do not hold the weights \(" + why)
        assert group.leader.says(r"the container ends in 1 s \(startup.backoffSeconds\)")
        assert group.leader.ends() == 1
        first, second, *_ = group.leader.message().splitlines()
        assert first == f"the weight daemons do not hold the weights ({why})"
        assert second == settings.get("LOAD_ERROR", "...")
        assert not group.leader.count("model starts")
        assert not group.ports


def test_daemons_end_at_once_when_a_pod_is_told_to_end(tmp_path: Path) -> None:
    with running(tmp_path, MULTINODE_DRAIN_SECONDS=60, **KEEP) as group:
        group.ask(max_tokens=2000)
        time.sleep(1)
        group.leader.terminate()
        assert until(lambda: not group.leader.daemons(), 10)
        assert group.leader.processes(SERVE)  # it finishes its request
        assert group.worker.daemons()
        group.worker.terminate()
        assert group.worker.ends(8) is not None
        assert group.leader.ends() is not None


def test_daemons_that_load_end_at_once_when_the_pod_is_told_to_end(tmp_path: Path) -> None:
    with running(tmp_path, serves=False, LOAD_SECONDS=120, MULTINODE_STARTUP_SECONDS=600, **KEEP) as group:
        for pod in group.pods:
            assert pod.says("exec vllm preload")
            pod.terminate()
            assert pod.ends() == 128 + signal.SIGTERM
