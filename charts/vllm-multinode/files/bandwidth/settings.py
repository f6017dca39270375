"""What to measure, and with whom: the settings of the chart, and the variables of LeaderWorkerSet."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import dataclass
from typing import Any

VARIABLE = "MULTINODE_BANDWIDTH"
"""Variable with the settings as a JSON object; the ranks get it, too."""
NODE = "MULTINODE_NODE"
"""Variable with the name of the node."""
LAUNCHED = "MULTINODE_LAUNCHED"
"""Variable that tells a rank that node.py has started it, and reads its answer."""
ANSWER = "vllm-multinode-bandwidth "
"""Beginning of a line with an answer; the rest is JSON."""


@dataclass(frozen=True)
class BandwidthSpec:
    """The settings.

    Attributes:
        floor: least bus bandwidth of the group in GB/s (10**9 bytes), None to accept any.
        gpus: GPUs of a pod, 0 to measure on the CPU with one rank per pod.
        port: rendezvous port on the first pod.
        meet: seconds until all ranks must have come.
        limit: seconds from then until the measurement must have ended.
        backoff: seconds between two attempts.
        stays: whether to try again in the same container, for a pod of a group: LeaderWorkerSet recreates a group in
            which a container has restarted.
    """

    floor: float | None = None
    gpus: int = 0
    port: int = 29500
    meet: float = 300
    limit: float = 180
    backoff: float = 30
    stays: bool = False

    @classmethod
    def read(cls) -> BandwidthSpec:
        """Return the JSON object in MULTINODE_BANDWIDTH, or the defaults without one."""
        given: dict[str, Any] = json.loads(os.environ.get(VARIABLE) or "{}")
        return cls(**given)


@dataclass(frozen=True)
class RankPlace:
    """Where this process is.

    Attributes:
        rank: number of the process in the group.
        world: number of processes.
        local: number of the process on its node.
        node: name of the node.
        host: address or name of the first rank.
        port: rendezvous port of the first rank.
    """

    rank: int
    world: int
    local: int
    node: str
    host: str
    port: int

    @classmethod
    def read(cls) -> RankPlace:
        """Return what RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, and MASTER_PORT say, as torchrun sets them."""
        env = os.environ
        rank = int(env["RANK"])
        return cls(
            rank,
            int(env["WORLD_SIZE"]),
            int(env.get("LOCAL_RANK", rank)),
            node_name(),
            env["MASTER_ADDR"],
            int(env.get("MASTER_PORT", BandwidthSpec.port)),
        )


def node_name() -> str:
    """Return the name of the node, or else of the host."""
    return os.environ.get(NODE) or socket.gethostname()


def say(text: str) -> None:
    """Print a line without buffering."""
    print(f"vllm-multinode: {text}", file=sys.stderr, flush=True)
