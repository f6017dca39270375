from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from . import machine, network, weights

MARK = "vmn-active "
"""Each fact's line begins with this; the rest is JSON."""


def report(check: str, facts: dict[str, Any]) -> None:
    """Print the facts of one check at once: whoever waits for the others may be ended any time."""
    print(MARK + json.dumps({"check": check, **facts}), flush=True)


def local(asked: dict[str, Any]) -> None:
    """Report what needs no other pod."""
    report("shm", machine.shared_memory())
    report("cache", machine.writable(asked["writable"]))
    if asked["gpus"]:
        report("gpus", machine.gpus())
    if asked["rdma"]:
        report("memlock", machine.memlock())
        report("rdma", machine.rdma(asked["gid"]))
    if asked["weights"]:
        report("weights", weights.read(asked["weights"]))


def main() -> None:
    """Report all that was asked for in VMN_ACTIVE, a JSON object."""
    asked = json.loads(os.environ["VMN_ACTIVE"])
    rank, host = int(os.environ.get("JOB_COMPLETION_INDEX", "0")), os.environ["VLLM_HOST_IP"]
    me = network.Member(rank, host, asked["nodes"], asked["port"], network.now() + asked["limit"])
    with me.meeting_point() as server:
        local(asked)
        found = network.resolve(asked["name"], me.deadline) if me.nodes > 1 else {"address": host}
        report("interface", network.route(found["address"] or host))
        if me.nodes > 1:
            report("dns", found)
            report("port", me.meet(server, found["address"]))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # PID 1 has no other way to end
    main()
