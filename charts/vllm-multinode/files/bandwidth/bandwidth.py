"""Proves before vLLM loads anything that the GPUs of a group communicate fast enough, and names the node that is slow.

It needs the other files of this directory, Python 3.10, and PyTorch, and runs in one of two ways:

- In each pod of a group, as an init container or by ``vmn preflight --active --bandwidth``. MULTINODE_BANDWIDTH has the
  settings (settings.py), and LeaderWorkerSet's variables name the other pods. It starts one process per GPU.
- By hand, one process per GPU with RANK, WORLD_SIZE, MASTER_ADDR, and MASTER_PORT set, as torchrun does. LOCAL_RANK
  chooses the GPU, and MULTINODE_NODE names the node, which is the hostname by default.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import node
from settings import ANSWER, LAUNCHED, BandwidthSpec, RankPlace


def main() -> int:
    """Run all ranks of a pod, or the rank that RANK names, and return the exit status: 1 if something fails."""
    if "RANK" not in os.environ:
        return node.run(BandwidthSpec.read())
    import rank  # with PyTorch, which takes seconds

    def tell(answer: dict[str, object]) -> None:
        if LAUNCHED in os.environ:
            print(ANSWER + json.dumps(answer), flush=True)
        elif place.rank == 0:
            node.report(answer, answers=True)

    place = RankPlace.read()
    return int(not rank.run(place, BandwidthSpec.read(), tell))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # PID 1 ignores it otherwise
    sys.exit(main())
