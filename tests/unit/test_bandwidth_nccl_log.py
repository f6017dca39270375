"""What the program that measures the bandwidth reads in NCCL's log."""

from __future__ import annotations

import pytest

from nccl_log import last_warning, transports

HEAD = "vllm-0:455:921 [0] NCCL INFO "
LINES = {
    # NCCL 2.30.7, src/transport/net.cc, p2p.cc, shm.cc, and coll_net.cc
    "Channel 00/0 : 8[0] -> 0[0] [receive] via NET/IB/0/GDRDMA": ("NET/IB/GDRDMA", True),
    "Channel 03/0 : 0[0] -> 8[0] [send] via NET/IB/2(1)/GDRDMA(PCI)/Shared": ("NET/IB/GDRDMA", True),
    "Channel 00/0 : 8[0] -> 0[0] [receive] via NET/Socket/0": ("NET/Socket", True),
    "Channel 00/0 : 8[0] -> 0[0] [receive] via NET/AWS Libfabric/0/GDRDMA": ("NET/AWS Libfabric/GDRDMA", True),
    "Channel 00/0 : 8[0] -> 0[0] [receive] via NET/FasTrak/1(2)/Shared": ("NET/FasTrak", True),
    "Channel 00/0 : 0[0] -> 8[0] via P2P/MNNVL/read": ("P2P/MNNVL", True),
    "CollNet 00/0 : 0 [send] via COLLNET/SHARP/0/GDRDMA": ("COLLNET/SHARP/GDRDMA", True),
    "Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM/read": ("P2P/CUMEM", False),
    "Channel 00/0 : 0[0] -> 1[1] via P2P/IPC/CE": ("P2P/IPC", False),
    "Channel 00/0 : 0[0] -> 1[1] via P2P/direct pointer": ("P2P/direct pointer", False),
    "Channel 00/0 : 0[0] -> 1[1] via P2P/indirect/3[3]": ("P2P/indirect", False),
    "Channel 00 : 0[0] -> 1[1] via SHM/direct": ("SHM/direct", False),
    "Channel 00/0 : 0[0] -> 1[1] [send] via NET/Socket/0": ("NET/Socket", False),
}


def node_of(rank: int) -> str:
    return f"node-{rank // 8}"


@pytest.mark.parametrize("line", LINES)
def test_transport_is_read_from_the_log_of_nccl(line: str) -> None:
    name, apart = LINES[line]
    assert transports(HEAD + line, node_of) == (([name], []) if apart else ([], [name]))


def test_each_transport_is_told_once_and_other_lines_are_ignored() -> None:
    log = "\n".join([HEAD + "NCCL_NET set by environment to IB.", *(HEAD + line for line in LINES), "cut off: via NET"])
    between, within = transports(log, node_of)
    assert len(between) == len({*between}) == 6
    assert "P2P/CUMEM" in within


def test_network_is_known_from_a_version_of_nccl_that_logs_no_channels() -> None:
    assert transports(f"{HEAD}Using network Socket\n{HEAD}Using network Socket", node_of) == (["NET/Socket"], [])
    assert transports("", node_of) == ([], [])


def test_last_warning_is_found() -> None:
    log = f"a:1:2 [0] NCCL WARN first\n{HEAD}x\na:1:2 [0] misc/socket.cc:59 NCCL WARN Connection closed by remote peer"
    assert last_warning(log) == "Connection closed by remote peer"
    assert last_warning(HEAD) == ""


RECORDED = """\
vm:487:487 [0] NCCL INFO NCCL version 2.28.9+cuda13.0
vm:487:487 [0] NCCL INFO Using network Socket
vm:487:487 [0] NCCL INFO Connected to proxy localRank 0 -> connection 0x7f3820004f70
vm:487:487 [0] NCCL INFO Channel 00/0 : 1[0] -> 0[0] [receive] via NET/Socket/0
vm:487:487 [0] NCCL INFO Channel 01/0 : 1[0] -> 0[0] [receive] via NET/Socket/0
vm:487:487 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[0] [send] via NET/Socket/0
vm:487:487 [0] NCCL INFO Connected all rings, use ring PXN 0 GDR 0
vm:487:487 [0] NCCL INFO Channel 00/1 : 0[0] -> 1[0] [send] via NET/Socket/0/Shared
vm:487:487 [0] NCCL INFO Channel 01/1 : 1[0] -> 0[0] [receive] via NET/Socket/0/Shared
"""
"""Recorded on an H200 with two ranks under different NCCL_HOSTIDs, PyTorch 2.11, and NCCL 2.28.9: an all-reduce, and
then batched sends, which open further channels of the same communicator."""


def test_recorded_log_shows_one_transport_between_nodes() -> None:
    assert transports(RECORDED, str) == (["NET/Socket"], [])
