"""What a measurement of the bandwidth means: each fault names its node, and a healthy group has none."""

from __future__ import annotations

from typing import Any

import pytest

from ring import rounds
from verdict import BANDWIDTH, HEALTH, TRANSPORT, BandwidthProblem, problems, summaries

FLOOR = 100.0
GPU: dict[str, Any] = {
    **{"gpu": "GPU 3 (NVIDIA H200)", "ecc": 0, "remap_pending": False, "remap_failed": False, "recovery": None},
    **{"xids": [], "hears_xids": True, "throttled": {}, "clock": 1980.0, "pcie": [5, 16, 5, 16]},
}
IB = {"between": ["NET/IB/GDRDMA"], "within": ["P2P/CUMEM"]}


def names(count: int) -> list[str]:
    return [f"node-{number}" for number in range(1, count + 1)]


def ways(count: int) -> list[tuple[str, str]]:
    """Return sender and receiver of every measured way between nodes."""
    nodes = names(count)
    pairs = [(nodes[one], nodes[other]) for pairs in rounds(count) for one, other in pairs]
    return [way for one, other in pairs for way in ((one, other), (other, one))]


def measured(count: int, *slow: tuple[str, str], rate: float = 150.0, **changes: Any) -> dict[str, Any]:
    """Return what a group of nodes with 8 GPUs each has measured; some ways between nodes are slow."""
    group = {"bytes": 2**30, "seconds": 0.013, "rate": rate, "small_bytes": 65536, "small_seconds": 4e-5}
    nodes = names(count)
    return {
        "backend": "nccl",
        "nodes": nodes,
        "ranks": 8 * count,
        "failures": {},
        "group": group,
        "links": [[one, other, 4.0 if (one, other) in slow else 180.0] for one, other in ways(count)],
        "within": dict.fromkeys(nodes, 450.0),
        "transports": dict.fromkeys(nodes, IB),
        "gpus": {node: [dict(GPU)] for node in nodes},
        "adapters": {node: {"mlx5_0:1": 400.0, "mlx5_1:1": 400.0} for node in nodes},
        "sums": dict.fromkeys(nodes, True),
        **changes,
    }


def with_gpu(node: str, **state: Any) -> dict[str, Any]:
    """Return the GPUs of four nodes, one of which is in another state."""
    gpus = {name: [dict(GPU)] for name in names(4)}
    gpus[node] = [{**GPU, **state}]
    return gpus


def named(found: list[BandwidthProblem]) -> list[tuple[str, str | None, bool]]:
    return [(one.kind, one.node, one.fails) for one in found]


@pytest.mark.parametrize("count", range(1, 10))
def test_every_neighbor_is_measured_once_and_no_node_twice_at_a_time(count: int) -> None:
    found = [*rounds(count)]
    pairs = [tuple(sorted(pair)) for pairs in found for pair in pairs]
    ring = {tuple(sorted((node, (node + 1) % count))) for node in range(count)} if count > 1 else set()
    assert sorted(pairs) == sorted(ring)
    for pairs_of_round in found:
        busy = [node for pair in pairs_of_round for node in pair]
        assert len(busy) == len(set(busy))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_healthy_group_has_no_problem(count: int) -> None:
    assert problems(measured(count), FLOOR if count > 1 else None) == []


@pytest.mark.parametrize("count", [2, 3, 4, 5, 9])
def test_node_that_sends_slowly_is_named_and_no_other(count: int) -> None:
    slow = [way for way in ways(count) if way[0] == "node-2"]
    found = problems(measured(count, *slow, rate=3.0), FLOOR)
    assert named(found) == [(BANDWIDTH, "node-2", True), (BANDWIDTH, None, True)]
    assert found[0].text.startswith("sends to node-1")
    assert "at 4 GB/s, and receives at 180" in found[0].text
    assert "no node stands out" not in found[1].text
    assert ("how node-1 receives" in found[0].fix) == (count == 2)


@pytest.mark.parametrize("count", [3, 4, 5, 9])
def test_node_that_receives_slowly_is_named_and_no_other(count: int) -> None:
    slow = [way for way in ways(count) if way[1] == "node-2"]
    found = problems(measured(count, *slow, rate=3.0), FLOOR)
    assert named(found) == [(BANDWIDTH, "node-2", True), (BANDWIDTH, None, True)]
    assert found[0].text.startswith("receives from node-1")


@pytest.mark.parametrize("count", [3, 4, 9])
def test_node_that_is_slow_in_both_directions_is_named_twice(count: int) -> None:
    slow = [way for way in ways(count) if "node-2" in way]
    found = problems(measured(count, *slow, rate=3.0), FLOOR)
    assert [(one.node, one.text.partition(" ")[0]) for one in found[:-1]] == [
        ("node-2", "sends"),
        ("node-2", "receives"),
    ]


def test_one_slow_way_between_nodes_that_are_well_is_told_as_such() -> None:
    found = problems(measured(4, ("node-2", "node-3"), rate=3.0), FLOOR)
    assert named(found)[0] == (BANDWIDTH, "node-2", True)
    assert found[0].text == "sends to node-3 at 4 GB/s, and others at up to 180"


def test_two_nodes_that_are_slow_both_ways_are_told_apart_by_their_adapters_only() -> None:
    links = [["node-1", "node-2", 4.0], ["node-2", "node-1", 4.1]]
    (found,) = problems(measured(2, rate=3.0, links=links), FLOOR)
    assert (found.node, found.fails) == (None, True)
    assert found.text == ("the bus bandwidth of the group is 3 GB/s, and at least 100 is expected; no node stands out")
    ports = {"node-1": {"mlx5_0:1": 400.0}, "node-2": {"mlx5_0:1": 100.0}}
    first, _ = problems(measured(2, rate=3.0, links=links, adapters=ports), FLOOR)
    assert (first.node, first.text) == ("node-2", "mlx5_0:1 run at 100 Gbit/s, and the ports of others at 400")


def test_slow_way_is_a_warning_while_the_group_reaches_the_floor() -> None:
    found = problems(measured(2, ("node-2", "node-1")), FLOOR)
    assert named(found) == [(BANDWIDTH, "node-2", False)]
    assert named(problems(measured(2, ("node-2", "node-1")), None)) == [(BANDWIDTH, "node-2", True)]


def test_noise_between_ways_is_no_problem() -> None:
    links = [["node-1", "node-2", 180.0], ["node-2", "node-1", 95.0]]
    assert problems(measured(2, links=links), FLOOR) == []


def test_node_whose_gpus_are_slow_among_each_other_is_named() -> None:
    (found,) = problems(measured(2, within={"node-1": 450.0, "node-2": 21.0}), FLOOR)
    assert (found.node, found.fails) == ("node-2", True)
    assert "21 GB/s among each other, and those of others 450" in found.text


def test_wrong_sums_fail_on_the_node_that_has_them() -> None:
    (found,) = problems(measured(2, sums={"node-1": True, "node-2": False}), FLOOR)
    assert (found.node, found.fails) == ("node-2", True)
    (found,) = problems(measured(1, sums={"node-1": False}), None)
    assert (found.node, found.fails) == (None, True)


def test_pod_without_gpu_is_named() -> None:
    (found,) = problems(measured(2, failures={"node-2": "PyTorch finds no GPU in this pod"}), FLOOR)
    assert (found.node, found.text, found.fails) == ("node-2", "PyTorch finds no GPU in this pod", True)


@pytest.mark.parametrize(
    ("other", "fails", "words"),
    [
        ({"between": ["NET/Socket"], "within": ["P2P/CUMEM"]}, True, "NET/Socket between nodes, and NET/IB/GDRDMA on"),
        ({"between": ["NET/IB/GDRDMA"], "within": ["SHM/direct"]}, True, "SHM/direct inside the node, and P2P/CUMEM"),
    ],
)
def test_node_on_which_nccl_uses_another_transport_is_named(other: Any, fails: bool, words: str) -> None:
    (found,) = problems(measured(3, transports={"node-1": IB, "node-2": other, "node-3": IB}), FLOOR)
    assert (found.kind, found.node, found.fails) == (TRANSPORT, "node-2", fails)
    assert words in found.text


def test_rdma_through_the_hosts_memory_is_a_warning() -> None:
    plain = {"between": ["NET/IB"], "within": []}
    found = problems(measured(2, transports={"node-1": plain, "node-2": plain}), FLOOR)
    assert named(found) == [(TRANSPORT, "node-1", False), (TRANSPORT, "node-2", False)]


@pytest.mark.parametrize(
    ("state", "fails", "words"),
    [
        ({"ecc": 2}, True, "has 2 uncorrected ECC errors"),
        ({"xids": [79]}, True, "reported XID 79 during the check"),
        ({"remap_failed": True}, True, "could not replace a broken row"),
        ({"remap_pending": True}, False, "at its next reset"),
        ({"recovery": "a reset of the GPU"}, True, "asks for a reset of the GPU"),
        ({"throttled": {"hw_thermal": 0.8}}, True, "lowers its clock: temperature for 80% of the time"),
        ({"throttled": {"hw_power_brake": 0.5}, "clock": 400.0}, True, "power brake of the node's supply for 50%"),
        ({"clock": 990.0}, True, "runs at 990 MHz, and most others at 1980"),
        ({"pcie": [3, 8, 5, 16]}, False, "uses PCIe 3 x8, and its slot allows 5 x16"),
    ],
)
def test_gpu_that_is_not_well_is_named(state: dict[str, Any], fails: bool, words: str) -> None:
    (found,) = problems(measured(4, gpus=with_gpu("node-3", **state)), FLOOR)
    assert (found.kind, found.node, found.fails) == (HEALTH, "node-3", fails)
    assert found.text.startswith("GPU 3 (NVIDIA H200)")
    assert words in found.text
    assert found.fix


@pytest.mark.parametrize(
    "state",
    [
        {"throttled": {"sw_thermal": 0.02}},
        {"clock": 1455.0},
        {"ecc": None, "remap_pending": None, "remap_failed": None, "clock": None, "pcie": None},
    ],
    ids=["a moment", "at the power cap", "the driver tells nothing"],
)
def test_gpu_that_is_well_enough_is_not_named(state: dict[str, Any]) -> None:
    assert problems(measured(4, gpus=with_gpu("node-3", **state)), FLOOR) == []


def test_gpu_of_unknown_health_is_a_warning() -> None:
    gpus = {"node-1": [{"gpu": "GPU 0 (AMD)", "error": "its health is not known: no NVML"}], "node-2": []}
    found = problems(measured(2, gpus=gpus), FLOOR)
    assert named(found) == [(HEALTH, "node-1", False)]


def test_summaries_say_what_was_measured() -> None:
    found = summaries(measured(2), FLOOR)
    assert found[BANDWIDTH] == (
        "16 GPUs on 2 nodes: bus bandwidth 150 GB/s (at least 100), all-reduce of 64 KiB in 40 us, 180 GB/s from node "
        "to node"
    )
    assert found[TRANSPORT] == "NCCL uses between the nodes NET/IB/GDRDMA; inside them P2P/CUMEM"
    assert found[HEALTH] == "no errors on 2 GPUs, at 1980 MHz"
    unwell = [{**one, "ecc": 1} for one in measured(1)["gpus"]["node-1"]]
    assert summaries(measured(1, gpus={"node-1": unwell}), FLOOR)[HEALTH] == "1 GPU, at 1980 MHz"
    alone = measured(1, group=None, links=[], backend="gloo", gpus={"node-1": []}, ranks=1)
    assert summaries(alone, None) == {
        BANDWIDTH: "1 CPU rank on 1 node: nothing to measure",
        TRANSPORT: "Gloo over TCP, as there are no GPUs",
        HEALTH: "no GPUs to ask",
    }
