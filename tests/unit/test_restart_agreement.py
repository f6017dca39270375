"""What a leader decides when engines of its group end, with made-up times."""

from __future__ import annotations

import pytest

from agreement import PEER_CLOSED, RANK_ENDED, Agreement, Order, RestartLimits

LIMITS = RestartLimits(restarts=2, window=100, budget=60)
WHY = "vllm serve ended with exit status 137"
ECHO = f"vllm serve ended; error: {PEER_CLOSED}connection to port 29501: its vLLM has ended"


class Clock:
    """A group of three that serves, and a time."""

    def __init__(self) -> None:
        """Let it serve at 10 s."""
        self.group = Agreement("vllm-0", 3, LIMITS)
        self.now = 10.0
        assert list(self.group.served(self.now)) == [Order("served")]

    def tick(self, seconds: float = 0.1, silent: int | None = None) -> list[Order]:
        """Let all pods, or all but one, say that they are there, and return the orders."""
        self.now += seconds
        for rank in range(self.group.size):
            if rank != silent:
                self.group.heard(rank, self.now)
        return list(self.group.tick(self.now))

    def end(self, rank: int = 1, why: str = WHY) -> list[Order]:
        """Let an engine end."""
        return list(self.group.ended(rank, self.group.run, why, self.now))

    def stop(self, *ranks: int) -> list[Order]:
        """Let nothing be left in pods, and return what follows."""
        for rank in ranks:
            self.group.stopped(rank, self.group.run)
        return self.tick()

    def restart(self) -> None:
        """Go through a whole restart."""
        assert not self.end()
        assert [order.verb for order in self.tick()] == ["stop"]
        assert [order.verb for order in self.stop(0, 1, 2)] == ["start"]
        assert [order.verb for order in self.group.served(self.now)] == ["served"]


def only(orders: list[Order]) -> Order:
    (order,) = orders
    return order


def test_engines_start_again_once_nothing_is_left_in_any_pod() -> None:
    clock = Clock()
    clock.end()
    assert only(clock.tick()) == Order("stop", 0, f"rank 1, vllm-0-1: {WHY}")
    assert not clock.stop(0, 1)
    assert only(clock.stop(2)) == Order("start", 1, f"rank 1, vllm-0-1: {WHY}")
    served = only(list(clock.group.served(clock.now + 20)))
    assert served.why == f"restarted in place within 20 s, once in the last 100 s, at most 2: rank 1, vllm-0-1: {WHY}"


def test_memory_is_not_measured_again_once_all_pods_know_it() -> None:
    clock = Clock()
    for number, known in enumerate((False, True), start=1):
        clock.end()
        clock.tick()
        for rank in range(clock.group.size):
            clock.group.stopped(rank, clock.group.run, known or rank != 1)
        start = only(clock.tick())
        assert (start.verb, start.run, start.measured) == ("start", number, known)
        list(clock.group.served(clock.now))


def test_pod_that_has_stopped_before_it_was_told_to_counts() -> None:
    clock = Clock()
    clock.end()
    clock.group.stopped(1, 0)
    assert only(clock.tick()).verb == "stop"
    assert only(clock.stop(0, 2)).verb == "start"


def test_pod_that_only_saw_another_one_end_is_not_named_if_the_other_one_reports_in_time() -> None:
    clock = Clock()
    clock.end(0, ECHO)
    assert not clock.tick(1)
    clock.end(2)
    assert only(clock.tick(1)).why == f"rank 2, vllm-0-2: {WHY}"


def test_pod_that_only_saw_another_one_end_is_named_after_a_while() -> None:
    clock = Clock()
    clock.end(0, ECHO)
    assert only(clock.tick(3)).why == f"rank 0, vllm-0: {ECHO}"


@pytest.mark.parametrize("first", [0, 2])
def test_pod_whose_vllm_was_killed_is_named_when_another_one_reports_an_error_in_time(first: int) -> None:
    clock = Clock()
    other = 2 - first
    whys = {0: "vllm serve ended with exit status 1 after 60 s; RuntimeError: Connection closed", 2: WHY}
    clock.end(first, whys[first])
    assert bool(clock.tick(0.5)) == (first == 2)
    if first == 0:
        clock.end(other, whys[other])
        assert only(clock.tick(0.1)).why == f"rank 2, vllm-0-2: {WHY}"


def test_pod_with_an_error_is_named_after_a_second() -> None:
    clock = Clock()
    clock.end(0, "vllm serve ended with exit status 1")
    assert not clock.tick(0.9)
    assert only(clock.tick(0.2)).why == "rank 0, vllm-0: vllm serve ended with exit status 1"


def test_pod_that_watch_has_ended_is_not_taken_for_one_that_was_killed() -> None:
    clock = Clock()
    echo = ECHO.replace("ended;", "ended with exit status 137;")
    clock.end(0, echo)
    assert not clock.tick(2.9)
    clock.end(1, "vllm serve ended with exit status 1")
    assert only(clock.tick(0)).why.startswith("rank 1")


def test_pods_that_only_saw_another_one_end_are_told_apart_by_the_errors_in_their_logs() -> None:
    clock = Clock()
    error = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue."
    clock.end(1, ECHO)
    clock.end(2, ECHO)
    assert not clock.tick()
    clock.end(0, f"{ECHO}; {error}")
    assert only(clock.tick()).why == f"rank 0, vllm-0: {ECHO}; {error}"


LOST = f"vllm serve ended with exit status 137 after 60 s; error: {RANK_ENDED}: "
KILLED_CORE = "EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause."
DIED = "(MainProcess pid=9) ERROR 11-29 15:24:24 Worker proc VllmWorker-{} died unexpectedly (exit code: {}), shutting"
GLOO = "RuntimeError: [/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:545] Read error [10.7"
NCCL = "ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely."
TOLD = "RuntimeError: Worker failed with error 'CUDA error: an illegal memory access was encountered', please check"
CUDA = "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"


@pytest.mark.parametrize(
    ("leader", "worker", "named"),
    [
        (f"{ECHO}; {KILLED_CORE}", ECHO, 0),
        (f"vllm serve ended with exit status 0; {KILLED_CORE}", ECHO, 0),
        (ECHO, f"{ECHO}; {DIED.format(1, -9)}", 1),
        (f"{ECHO}; {DIED.format(0, None)}", ECHO, 0),
        (f"{ECHO}; {NCCL}", f"{ECHO}; {DIED.format(1, None)}", 1),
        (f"{ECHO}; {DIED.format(0, None)}", f"{ECHO}; {GLOO}", 0),
        (f"{ECHO}; {DIED.format(0, -6)}", f"{ECHO}; {DIED.format(1, -9)}", 1),
        (f"{ECHO}; {TOLD}", f"{ECHO}; {CUDA}", 1),
        (f"{ECHO}; {CUDA}", f"{ECHO}; {GLOO}", 0),
        (f"{ECHO}; {KILLED_CORE}", f"{ECHO}; {GLOO}", 0),
        (f"{LOST}{GLOO}", f"{LOST}{DIED.format(1, None)}", 1),
        (f"{LOST}{CUDA}", ECHO, 0),
    ],
    ids=[
        "leader's engine core killed",
        "leader's engine core killed, and its server was faster than PID 1",
        "worker's rank killed",
        "leader's rank killed",
        "worker's rank killed, H200",
        "leader's rank killed, H200",
        "worker's rank killed, and NCCL's watchdog ended the leader's",
        "error in the worker's rank",
        "error in the leader's rank",
        "leader's engine core killed, busy",
        "one of the worker's ranks killed, and one of the leader's ended for it",
        "one of the leader's ranks ended by itself",
    ],
)
@pytest.mark.parametrize("first", [0, 1], ids=["leader reports first", "worker reports first"])
def test_pod_of_the_process_that_failed_is_named(leader: str, worker: str, named: int, first: int) -> None:
    """The reasons are those that vLLM 0.32 on CPUs and 0.33 on an H200 left, in the first six cases."""
    clock = Clock()
    whys = (leader, worker)
    assert not clock.end(first, whys[first])
    order = next(iter(clock.tick(0)), None)
    if not order:
        clock.end(1 - first, whys[1 - first])
        order = only(clock.tick(3))
    assert order.why.startswith(f"rank {named}, ")


def test_ends_of_an_old_run_do_not_count() -> None:
    clock = Clock()
    clock.restart()
    assert not list(clock.group.ended(1, 0, WHY, clock.now))
    assert not clock.tick(10)


def test_restarts_count_only_within_the_window() -> None:
    clock = Clock()
    clock.restart()
    clock.restart()
    clock.tick(101)
    clock.restart()
    clock.restart()
    clock.end()
    order = only(clock.tick())
    assert (order.verb, order.kill) == ("end", False)
    assert order.why.startswith("2 times in the last 100 s is enough (group.inPlaceRestart): rank 1, vllm-0-1")


def test_engine_that_ends_before_the_group_has_served_is_not_restarted() -> None:
    group = Agreement("vllm-0", 3, LIMITS)
    order = only(list(group.ended(0, 0, WHY, 1)))
    assert (order.verb, order.kill) == ("end", False)


def test_engine_that_ends_while_it_starts_in_place_ends_all_pods() -> None:
    clock = Clock()
    clock.end()
    clock.tick()
    clock.stop(0, 1, 2)
    order = only(clock.end())
    assert (order.verb, order.run, order.kill) == ("end", 1, True)


@pytest.mark.parametrize("full", [True, False])
def test_pod_that_has_reached_its_memory_limit_is_not_restarted(full: bool) -> None:
    clock = Clock()
    reason = "; error: out of memory, the pod has reached its limit (resources.limits.memory)"
    clock.end(why=WHY + reason * full)
    assert only(clock.tick()).verb == ("end" if full else "stop")


def test_group_whose_weights_are_lost_serves_on_and_does_not_restart() -> None:
    clock = Clock()
    clock.group.unkept(2, "exit status 137")
    assert not clock.tick(60)
    clock.end()
    order = only(clock.tick())
    assert order == Order(
        "end", 0, f"the weight daemons of vllm-0-2 are lost (exit status 137): rank 1, vllm-0-1: {WHY}"
    )


def test_pods_end_when_weights_are_lost_while_engines_stop() -> None:
    clock = Clock()
    clock.end()
    assert only(clock.tick()).verb == "stop"
    clock.group.unkept(0, "/health does not answer")
    lost = "the weight daemons of vllm-0 are lost (/health does not answer)"
    assert only(clock.stop(1, 2)) == Order("end", 0, lost, kill=True)


def test_run_that_starts_goes_on_when_weights_are_lost_and_is_the_last_one() -> None:
    clock = Clock()
    clock.end()
    clock.tick()
    assert only(clock.stop(0, 1, 2)).verb == "start"
    clock.group.unkept(1, "exit status 1")
    assert not clock.tick()
    assert [order.verb for order in clock.group.served(clock.now)] == ["served"]
    clock.end()
    assert only(clock.tick()).verb == "end"


@pytest.mark.parametrize("lost", [True, False])
def test_group_does_not_restart_without_a_pod(lost: bool) -> None:
    clock = Clock()
    clock.end()
    if lost:
        clock.group.lost(2)
    else:
        clock.group.leaving(2)
    order = only(clock.tick(silent=2))
    assert (order.verb, order.kill) == ("end", False)
    assert order.why.startswith(f"vllm-0-2 {'does not answer' if lost else 'is being deleted'}: rank 1, vllm-0-1")


@pytest.mark.parametrize(
    ("seconds", "silent", "why"),
    [
        (11, 2, "vllm-0-2 does not answer"),
        (31, None, "processes of vllm-0-2 did not end within 30 s"),
    ],
)
def test_pods_end_when_one_does_not_stop(seconds: float, silent: int | None, why: str) -> None:
    clock = Clock()
    clock.end()
    clock.tick()
    clock.stop(0, 1)
    assert only(clock.tick(seconds, silent)) == Order("end", 0, why, kill=True)


@pytest.mark.parametrize(
    ("seconds", "silent", "why"),
    [(31, 2, "vllm-0-2 does not answer"), (61, None, "the group did not serve within 60 s")],
)
def test_pods_end_when_a_start_in_place_does_not_succeed(seconds: float, silent: int | None, why: str) -> None:
    clock = Clock()
    clock.end()
    clock.tick()
    clock.stop(0, 1, 2)
    assert not clock.tick(9, silent)
    assert only(clock.tick(seconds, silent)) == Order("end", 1, why, kill=True)
