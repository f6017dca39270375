"""Messages between the pods of a group that restarts in place, over real connections on this machine."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agreement import Agreement, Order, RestartLimits
from kit.scripts import free_port
from links import LeaderLink, WorkerLink

pytestmark = pytest.mark.slow
WHY = "vllm serve ended with exit status 137"


class Leader:
    """A leader of two pods that serves, and the orders that it gave."""

    def __init__(self) -> None:
        """Listen."""
        self.port = free_port()
        self.agreement = Agreement("vllm-0", 2, RestartLimits(3, 600, 60))
        self.link = LeaderLink(self.agreement, "127.0.0.1", self.port)
        self.orders: list[Order] = []
        self.link.report(served=True, run=0)
        self.poll()

    def poll(self, seconds: float = 0.2) -> None:
        """Look after the connections for some seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.orders += self.link.poll(0.02)

    def connect(self, *lines: object) -> socket.socket:
        """Return a connection on which these lines were sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), 5)
        text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
        connection.sendall(text.encode())
        self.poll()
        return connection


@pytest.fixture
def leader() -> Iterator[Leader]:
    """Give a leader, and close its port."""
    one = Leader()
    yield one
    one.link.close()


def worker(leader: Leader, folder: Path) -> WorkerLink:
    """Return the link of a worker that has found its leader."""
    address = folder / "leader"
    address.write_text("127.0.0.1\n", encoding="ascii")
    link = WorkerLink(1, address, leader.port)
    list(link.poll(0))
    leader.poll()
    list(link.poll(0.1))
    return link


def test_worker_reports_and_gets_orders(leader: Leader, tmp_path: Path) -> None:
    link = worker(leader, tmp_path)
    assert link.connected
    link.report(ended=WHY, run=0)
    leader.poll()
    orders = list(link.poll(1))
    assert orders == [Order("stop", 0, f"rank 1, vllm-0-1: {WHY}")] == leader.orders[1:]
    link.report(stopped=True, run=0)
    leader.link.report(stopped=True, run=0)
    leader.poll()
    assert [order.verb for order in link.poll(1)] == ["start"]
    link.close()


def test_worker_is_not_connected_before_its_leader_is_known(tmp_path: Path) -> None:
    link = WorkerLink(1, tmp_path / "leader", free_port())
    assert list(link.poll(0)) == []
    assert not link.connected


def test_leader_does_not_restart_without_the_worker_whose_connection_is_closed(leader: Leader, tmp_path: Path) -> None:
    worker(leader, tmp_path).close()
    leader.poll()
    leader.link.report(ended=WHY, run=0)
    leader.poll()
    assert [(order.verb, order.why) for order in leader.orders[1:]] == [
        ("end", f"vllm-0-1 does not answer: rank 0, vllm-0: {WHY}")
    ]


@pytest.mark.parametrize("group", ["", "of another group"])
def test_worker_of_a_group_that_is_gone_is_refused(leader: Leader, group: str) -> None:
    with leader.connect({"hello": 1, "group": group}) as connection:
        said = json.loads(connection.makefile().readline())
    assert set(said) == ({"refused"} if group else {"welcome"})


@pytest.mark.parametrize(
    "line",
    ["not JSON", [], {"hello": 0, "group": ""}, {"hello": 2, "group": ""}, {"ended": WHY, "run": 0}],
    ids=["no JSON", "no object", "the leader's rank", "a rank too high", "no greeting"],
)
def test_connection_that_is_not_a_workers_is_closed_and_changes_nothing(leader: Leader, line: object) -> None:
    with leader.connect(line) as connection:
        assert connection.recv(100) == b""
    leader.poll()
    assert [order.verb for order in leader.orders] == ["served"]


def test_leader_does_not_restart_once_a_worker_has_lost_its_weights(leader: Leader, tmp_path: Path) -> None:
    link = worker(leader, tmp_path)
    link.report(unkept="exit status 137", run=0)
    leader.poll()
    leader.link.report(ended=WHY, run=0)
    leader.poll()
    assert [(order.verb, order.why) for order in leader.orders[1:]] == [
        ("end", f"the weight daemons of vllm-0-1 are lost (exit status 137): rank 0, vllm-0: {WHY}")
    ]
    link.close()
