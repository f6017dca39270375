"""The command line that the chart's start script builds for a rendered pod."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from kit.render import Manifests
from kit.scripts import Pod

PEER = "10.0.0.1"
"""The leader's address."""
MARK = "words: "
PRINT = f"""exec {sys.executable} -c 'import json, sys; print("{MARK}" + json.dumps(sys.argv[1:]))' "$@\""""


def vllm_words(manifests: Manifests, rank: int) -> list[str]:
    """Return the arguments that the start script passes to ``vllm``, none if it does not run it.

    Args:
        manifests: a rendered chart.
        rank: the pod's number in its group, 0 for the leader.

    Raises:
        ValueError: the script fails.
    """
    group = manifests.one("LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]
    container = manifests.templates()["leader" if rank == 0 else "worker"]["spec"]["containers"][0]
    settings = {item["name"]: item["value"] for item in container["env"] if item["name"].startswith("MULTINODE_")}
    settings |= {"VLLM_HOST_IP": PEER, "LWS_WORKER_INDEX": rank, "LWS_GROUP_SIZE": group["size"]}
    with tempfile.TemporaryDirectory() as directory:
        pod = Pod(Path(directory), PRINT, **settings)
        pod.program("getent", f"echo '{PEER} STREAM vllm-0'")
        pod.program("ray-cluster", "true")
        code, said = pod.run("start.sh", *container["args"])
    if code:
        raise ValueError(f"start.sh ended with {code}:\n{said}")
    found = [line.removeprefix(MARK) for line in said.splitlines() if line.startswith(MARK)]
    words: list[str] = json.loads(found[0]) if found else []
    return words
