"""``vmn preflight --active`` on two real nodes: silent where the release will start, right where it will not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from engine.reference import PRESET
from kit.cluster import Object, inventory, present
from kit.paths import CHECKOUT
from kit.progress import step, wait_until
from vmn.cli import main

pytestmark = [pytest.mark.engine, pytest.mark.minutes(2)]
GONE_LIMIT = 30
"""Seconds until Kubernetes has collected what belonged to the objects that vmn removed, such as EndpointSlices."""
PROCESS_LIMIT = 120
BROKEN = "broken-checkpoint"
SHARDS = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
CUT_OFF: Mapping[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": BROKEN},
    "data": {
        "config.json": "{}",
        "model.safetensors.index.json": json.dumps({"weight_map": {name: name for name in SHARDS}}),
    },
    "binaryData": {SHARDS[0]: "AgAAAAAAAAB7fQ=="},  # a header of two bytes, {}
}
"""A checkpoint whose second shard never came; mounted over the whole one."""
OVER_THE_WHOLE_ONE = {
    "extraVolumes": [
        {"name": "engine", "hostPath": {"path": "/var/lib/vllm-multinode/engine", "type": "Directory"}},
        {"name": BROKEN, "projected": {"sources": [{"configMap": {"name": BROKEN}}]}},
    ],
    "extraVolumeMounts": [
        {"name": "engine", "mountPath": "/opt/vllm", "readOnly": True},
        {"name": BROKEN, "mountPath": "/models/tiny", "readOnly": True},
    ],
}
FAULTS: Mapping[str, tuple[Mapping[str, Any], list[Mapping[str, Any]], str, str]] = {
    # name: (values, objects in the namespace, the check that fails, what it says)
    "wrong path": ({"weights": {"path": "/models/none"}}, [], "active-weights", "/models/none does not exist; /models"),
    "missing shard": (OVER_THE_WHOLE_ONE, [CUT_OFF], "active-weights", "1 of 2 files of /models/tiny are missing"),
    "shared memory": (
        {"sharedMemory": {"size": "32Mi"}},
        [],
        "active-shm",
        "/dev/shm has 32Mi, which is too small for NCCL",
    ),
    "interface": (
        {"fabric": {"interface": "eth9"}},
        [],
        "active-interface",
        "interface eth9 does not exist; interfaces:",
    ),
}


def arguments(folder: Path, namespace: str, values: Mapping[str, Any]) -> list[str]:
    """Return the command line for the tiny model with other values."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
    return ["preflight", "-f", str(PRESET), "-f", str(file), "--namespace", namespace, "--active"]


@contextmanager
def nothing_left(namespace: str) -> Iterator[None]:
    """Check that what is in the namespace afterwards is what was there before."""
    before = inventory(namespace)
    yield
    at_once = ("Pod", "Job", "Service", "ConfigMap", "NetworkPolicy")
    assert [item for item in inventory(namespace) - before if item[0] in at_once] == []
    wait_until("end of what the run made", lambda: inventory(namespace) == before, GONE_LIMIT)


def actively(
    folder: Path, namespace: str, values: Mapping[str, Any], *options: str
) -> tuple[str, dict[str, list[Object]]]:
    """Return all that was said, and the active findings by check, after checking that nothing is left."""
    with nothing_left(namespace), step("vmn preflight --active"):
        done = CliRunner().invoke(main, [*arguments(folder, namespace, values), *options, "--output", "json"])
    assert done.exit_code in (0, 1), done.output
    found: dict[str, list[Object]] = {}
    for item in json.loads(done.stdout)["findings"]:
        if item["check"].startswith("active"):
            found.setdefault(item["check"], []).append(item)
    return done.output, found


def test_healthy_nodes_pass_every_check(namespace: str, tmp_path: Path) -> None:
    said, found = actively(tmp_path, namespace, {})
    assert {item["status"] for (item,) in found.values()} == {"PASS", "SKIP"}, said
    passed = {name.removeprefix("active-") for name, (item,) in found.items() if item["status"] == "PASS"}
    assert passed == {"active", "dns", "port", "interface", "shm", "cache", "weights"}, said
    assert "/models/tiny is complete in every pod" in found["active-weights"][0]["text"]


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_and_no_other(fault: str, namespace: str, tmp_path: Path) -> None:
    values, documents, check, words = FAULTS[fault]
    with present(documents, namespace):
        said, found = actively(tmp_path, namespace, values)
    bad = [item for items in found.values() for item in items if item["status"] not in ("PASS", "SKIP")]
    assert [item["check"] for item in bad] == [check], said
    assert bad[0]["status"] == "FAIL"
    assert words in bad[0]["text"]
    assert bad[0]["fix"]


def test_interrupt_leaves_nothing(namespace: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from vmn.cli import main; main()", *arguments(tmp_path, namespace, {})]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "tools")}
    with (
        nothing_left(namespace),
        subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stderr
        said = [line for line, _ in zip(iter(process.stderr.readline, ""), range(3), strict=False)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PROCESS_LIMIT)
        assert any("running 2 pods as Job" in line for line in said), said
