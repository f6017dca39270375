from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from . import bandwidth, machine, network, weights

MARK = "vmn-active "
"""Beginning of the line of each answer; the rest is JSON."""


def report(check: str, answer: dict[str, Any]) -> None:
    """Print the answer of one check at once, because the pod may be terminated while it waits for others."""
    print(MARK + json.dumps({"check": check, **answer}), flush=True)


def local(asked: dict[str, Any]) -> None:
    """Report the checks that need no other pod."""
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
    """Report the checks that VMN_ACTIVE, a JSON object, asks for."""
    asked = json.loads(os.environ["VMN_ACTIVE"])
    rank, host = int(os.environ.get("JOB_COMPLETION_INDEX", "0")), os.environ["VLLM_HOST_IP"]
    me = network.Member(rank, host, asked["nodes"], asked["port"], network.now() + asked["limit"])
    with me.meeting_point() as server:
        local(asked)
        found = network.resolve(asked["name"], me.deadline) if me.nodes > 1 else {"address": host}
        report("interface", network.route(found["address"] or host))
        met = {"error": None}
        if me.nodes > 1:
            report("dns", found)
            met = me.meet(server, found["address"])
            report("port", met)
    if asked["bandwidth"]:
        together(asked["bandwidth"], me, asked["name"], met)


def together(asked: dict[str, Any], me: network.Member, name: str, met: dict[str, Any]) -> None:
    """Report what all pods measure together, which needs that they reach each other."""
    apart = met["error"] or met.get("back") or len(met.get("heard", range(me.nodes - 1))) < me.nodes - 1
    answers = (
        bandwidth.skipped("the pods do not reach each other")
        if apart
        else bandwidth.measure(asked, me.rank, me.nodes, name)
    )
    for check, answer in answers.items():
        report(check, answer)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # PID 1 ignores it by default
    main()
