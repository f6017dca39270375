"""The command line of weight daemons: which flags vLLM's own parser knows, and which ranks a node's daemons have."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.insidevllm import ask
from localcluster.engine import checkpoint
from preload import preload_words

pytestmark = pytest.mark.engine
OWN = ["--weight-cache-socket-dir", "/tmp/weights", "--weight-cache-master-port", "29510"]
OWN += ["--weight-cache-draft-master-port", "29511", "--weight-cache-health-host", "127.0.0.1"]
OWN += ["--weight-cache-health-port", "40000"]
OF_A_NODE = "--nnodes 2 --node-rank 1 --master-addr 10.0.0.1 --master-port 29501 --headless"
OF_REPLICAS = "--data-parallel-size 4 --data-parallel-address 10.0.0.1 --data-parallel-rpc-port 29501"
LAYOUTS = {
    f"--tensor-parallel-size 2 {OF_A_NODE}": [[0, 0, 0, 1]],
    f"--pipeline-parallel-size 2 {OF_A_NODE}": [[0, 0, 1, 0]],
    f"{OF_REPLICAS} --data-parallel-size-local 2": [[0, 0, 0, 0], [1, 1, 0, 0]],
    f"{OF_REPLICAS} --data-parallel-size-local 2 --data-parallel-start-rank 2 --headless": [[0, 2, 0, 0], [1, 3, 0, 0]],
    f"{OF_REPLICAS} --data-parallel-size-local 2 --data-parallel-start-rank 2 --data-parallel-hybrid-lb": [
        [0, 2, 0, 0],
        [1, 3, 0, 0],
    ],
}
"""Flags of the engine, as start.sh has them in a worker or in a leader: GPU, data-parallel replica, stage, and
tensor-parallel rank of each daemon. An external load balancer is missing, which vLLM refuses for the tiny model."""


def test_daemons_know_the_flags_that_they_get_and_have_the_ranks_of_the_engine(tmp_path: Path) -> None:
    common = [str(checkpoint.MOUNT), "--max-model-len", "512", "--port", "8080", "--shutdown-timeout", "60"]
    lines = {name: preload_words([*common, *name.split()], OWN) for name in LAYOUTS}
    said = ask(Path(__file__).with_name("preload_layouts.py"), lines, tmp_path, "ask vllm preload")
    for flag in [*said["serve"], *said["preload"]]:
        kept = len(preload_words(["model", f"--{flag}"], [])) == 5
        assert kept == (flag in said["preload"]), flag
    assert said["ranks"] == LAYOUTS
    assert "platform 'cpu' does not support CUDA IPC weight sharing" in said["refused"]
